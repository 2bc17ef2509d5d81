package topics

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/store/storetest"
)

// A registry whose store has not been asked yet knows that it does not know; once it has
// been, an outage changes nothing.
func TestAStoreThatIsAwayAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := storetest.NewConsul()
		s := store.NewConsul(c.KV(t), "pyro/topics", nil)
		register(t, New(Config{Store: s}), "t", "PYRO:x@10.0.0.7:1")
		away := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "No cluster leader", 500) }
		c.Answer(away)
		r := New(Config{Store: s})
		wantKnown := func(known bool, want string) {
			t.Helper()
			v, raised := call(t, r, nearby, "topics")
			if r.Known() != known || describe(r.All()) != want || (raised == "") != known {
				t.Errorf("known: %v, there is %s, topics() gives %v %s", r.Known(), describe(r.All()), v, raised)
			}
			if !known && !strings.HasPrefix(raised, "errors.PyroError: who listens is not known yet") {
				t.Errorf("raised %s", raised)
			}
		}
		wantKnown(false, "")
		c.Answer(nil)
		register(t, r, "t", "PYRO:y@10.0.0.7:1") // of those before it knows no more than it did
		wantKnown(false, `"t"=y@10.0.0.7:1`)
		c.Answer(away)
		run(t, r)
		time.Sleep(time.Hour)
		wantKnown(false, `"t"=y@10.0.0.7:1`)
		c.Answer(nil)
		time.Sleep(time.Minute)
		wantKnown(true, `"t"=x@10.0.0.7:1 "t"=y@10.0.0.7:1`)
		c.Answer(away)
		time.Sleep(time.Hour)
		wantKnown(true, `"t"=x@10.0.0.7:1 "t"=y@10.0.0.7:1`)
	})
}

// Whoever is told of the listeners is so before they are said to be known: a blob must not
// come between the two.
func TestKnownOnceAllAreTold(t *testing.T) {
	s := &breaking{Store: store.NewMemory()}
	register(t, New(Config{Store: s}), "t", "PYRO:x@10.0.0.7:1")
	s.breakWith(fmt.Errorf("%w: no leader", store.ErrUnavailable))
	r := New(Config{Store: s})
	var told []string
	r.Changed(func(all []Listener) { told = append(told, fmt.Sprint(r.Known(), describe(all))) })
	s.breakWith(nil)
	r.follow(t.Context(), all(t, s))
	if want := `false"t"=x@10.0.0.7:1`; len(told) != 1 || told[0] != want || !r.Known() {
		t.Errorf("told %q, known: %v", told, r.Known())
	}
	if !New(Config{Store: store.NewMemory()}).Known() {
		t.Error("a store that is empty is not known at once")
	}
}
