package discovery

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
)

func member(port string) backend.Member {
	return backend.Member{Address: backend.Address{Network: "tcp", Addr: "192.0.2.1:" + port}, Weight: 1}
}

func TestStatic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener()
		run(t, Static{member("2"), member("1"), member("2")}, l.set)
		synctest.Wait()
		if diff := cmp.Diff([]string{":2 :1"}, l.take()); diff != "" {
			t.Errorf("memberships set (-want +got):\n%s", diff)
		}
	})
}

// handSource is set by hand.
type handSource chan []backend.Member

func (s handSource) Run(ctx context.Context, set func([]backend.Member)) {
	for {
		select {
		case members := <-s:
			set(members)
		case <-ctx.Done():
			return
		}
	}
}

func TestUnion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := make(handSource), make(handSource)
		l := newListener()
		run(t, Union(a, Static(nil), b), l.set)
		synctest.Wait()
		steps := []struct {
			name    string
			source  handSource
			members []backend.Member
			want    []string
		}{
			{"one says none", a, nil, nil},
			{"the other has some", b, []backend.Member{member("1"), member("2")}, []string{":1 :2"}},
			{"both have", a, []backend.Member{member("3"), member("1")}, []string{":3 :1 :2"}},
			{"the same", b, []backend.Member{member("2"), member("1")}, nil},
			{"one has none", b, nil, []string{":3 :1"}},
			{"neither has", a, nil, []string{""}},
		}
		for _, step := range steps {
			step.source <- step.members
			synctest.Wait()
			if diff := cmp.Diff(step.want, l.take()); diff != "" {
				t.Errorf("%s: memberships set (-want +got):\n%s", step.name, diff)
			}
		}
	})
	if _, ok := Union(Static{member("1")}).(Static); !ok {
		t.Error("the union of one source is another one")
	}
}
