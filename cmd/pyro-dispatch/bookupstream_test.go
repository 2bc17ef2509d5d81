package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/pace"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// upstreamOf has a book's upstream name server say the registrations of texts that now gives.
func upstreamOf(t *testing.T, b *book, now func() []string) {
	b.upstream = func(context.Context) ([]names.Registration, error) {
		return registrations(t, names.Foreign, now()...), nil
	}
}

// leads fails unless objects lead to what is wanted.
func (b *book) leads(t *testing.T, when string, want map[string]string) {
	t.Helper()
	for object, to := range want {
		if got := b.found(object); got != to {
			t.Errorf("%s: %s leads to %s, want %s", when, object, got, to)
		}
	}
}

func (b *book) ask(t *testing.T, text string) error {
	t.Helper()
	_, err := b.Expose(t.Context(), registrations(t, names.Foreign, text)[0], control.Caller{})
	return err
}

// TestBookLearnsUpstream: names of an upstream name server are callable without anybody's
// asking for them, and what is ambiguous is known as such.
func TestBookLearnsUpstream(t *testing.T) {
	b := newTestBook(t, "")
	b.fleet.cfg.NameServer.MaxNames = 10
	texts := []string{"Pyro.NameServer=Pyro.NameServer@h:9090", "a=o@h:1", "b=p@h:1", "c=p@h:2", "d/g=q@h:1", "e/g=q@h:2", "f=r@192.0.2.9:9999"}
	upstreamOf(t, b, func() []string { return texts })
	b.begin()
	b.leads(t, "at the start", map[string]string{"o": "h:1", "p": "none", "q": "h:1 h:2", "r": "none", names.OwnName: "none"})
	if err := b.ask(t, "b=p@h:1"); err == nil || !strings.Contains(err.Error(), "cannot be told apart") {
		t.Errorf("one of two: %v", err)
	}
	texts = []string{"b=p@h:1", "g=s@h:3"}
	if err := b.review(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.leads(t, "later", map[string]string{"o": "none", "p": "h:1", "q": "none", "s": "h:3"})
	if n := b.count(); n != 1 {
		t.Errorf("%d names are said to have been asked for", n)
	}
}

// TestBookMakesRoom: names that nobody has asked for take no room from those that somebody does.
func TestBookMakesRoom(t *testing.T) {
	b := newTestBook(t, "") // which has room for three
	texts := []string{"a=o@h:1", "b=p@h:1", "c=q@h:1", "d=r@h:1", "e=s@h:1"}
	upstreamOf(t, b, func() []string { return texts })
	b.begin()
	b.leads(t, "at the start", map[string]string{"o": "h:1", "p": "h:1", "q": "h:1", "r": "none", "s": "none"})
	for _, text := range []string{"d=r@h:1", "e=s@h:1", "a=o@h:1"} {
		if err := b.ask(t, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	asked := map[string]string{"o": "h:1", "p": "none", "q": "none", "r": "h:1", "s": "h:1"}
	b.leads(t, "when three were asked for", asked)
	if err := b.review(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.leads(t, "after a review", asked)
	if err := b.ask(t, "b=p@h:1"); err == nil || len(b.foreign) != 3 {
		t.Errorf("a fourth: %v; %d are known", err, len(b.foreign))
	}
	texts = texts[:3] // d and e are gone
	if err := b.review(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.leads(t, "when there is room again", map[string]string{"o": "h:1", "p": "h:1", "q": "h:1", "r": "none", "s": "none"})
	if b.asked != 1 || len(b.foreign) != 3 {
		t.Errorf("%d of %d were asked for", b.asked, len(b.foreign))
	}
}

// TestBookOlderList: a list that was on its way while a client was told of a name says nothing
// of that.
func TestBookOlderList(t *testing.T) {
	b := newTestBook(t, "")
	texts := []string{"a=o@h:1", "b=p@h:1"}
	during := func() {}
	upstreamOf(t, b, func() []string { during(); return texts })
	b.begin()
	during = func() {
		for _, text := range []string{"a=o@h:2", "c=q@h:1"} { // moved, and new
			if err := b.ask(t, text); err != nil {
				t.Error(err)
			}
		}
	}
	for range 2 {
		if err := b.review(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.leads(t, "told meanwhile", map[string]string{"o": "h:2", "p": "h:1", "q": "h:1"})
	}
	during = func() {}
	if err := b.review(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.leads(t, "by a newer list", map[string]string{"o": "h:1", "p": "h:1", "q": "none"})
}

// TestBookUpstreamAway: a start waits for an upstream name server that is away, but not for
// long. It is asked again soon, and when it answers no more often than before; one that comes
// back without its names is believed only after a while.
func TestBookUpstreamAway(t *testing.T) {
	const a, c = "a=o@./u:/nowhere/a", "c=p@./u:/nowhere/c"
	synctest.Test(t, func(t *testing.T) {
		b := newTestBook(t, "")
		frozen := true
		var far struct {
			sync.Mutex
			asked int
			texts []string
			err   error
		}
		b.upstream = func(ctx context.Context) ([]names.Registration, error) {
			if frozen {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			far.Lock()
			defer far.Unlock()
			far.asked++
			return registrations(t, names.Foreign, far.texts...), far.err
		}
		began := time.Now()
		b.begin()
		if waited := time.Since(began); waited != beginTime {
			t.Errorf("the start waited %v", waited)
		}
		b.leads(t, "while it is away", map[string]string{"o": "none"})
		frozen = false
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		// after lets time pass with the name server saying something, and tells how often it was asked.
		after := func(d time.Duration, err error, texts ...string) int {
			far.Lock()
			far.asked, far.err, far.texts = 0, err, texts
			far.Unlock()
			time.Sleep(d)
			synctest.Wait()
			far.Lock()
			defer far.Unlock()
			return far.asked
		}
		errAway := errors.New("away")
		far.err = errAway
		go func() { defer close(ended); b.run(ctx) }()
		defer func() { cancel(); <-ended }()
		if n := after(time.Hour, errAway); n < 360 || n > 740 { // 5 to 10 s apart
			t.Errorf("in an hour it was asked %d times", n)
		}
		after(pace.MaxDelay, nil, a)
		b.leads(t, "when it is back", map[string]string{"o": "unix:/nowhere/a"})
		if n := after(10*lookAfter, nil, a); n != 10 {
			t.Errorf("in %v it was asked %d times", 10*lookAfter, n)
		}
		both := map[string]string{"o": "unix:/nowhere/a", "p": "unix:/nowhere/c"}
		after(lookAfter, nil, a, c)
		b.leads(t, "of what others registered", both)

		after(lookAfter, nil)
		b.leads(t, "when it has lost its names", both)
		after(lookAfter, errAway)
		after(pace.MaxDelay, nil)
		b.leads(t, "when it has lost them once more", both)
		after(lookAfter, nil, c)
		b.leads(t, "when one has registered again", map[string]string{"o": "none", "p": "unix:/nowhere/c"})
		after(2*lookAfter, nil)
		b.leads(t, "when there is none for long", map[string]string{"o": "none", "p": "none"})
	})
}

// TestProxiesOutliveTheFacade: who has a proxy from before a restart is let in at once, where
// the names are those of another name server, and where somebody else registered them.
func TestProxiesOutliveTheFacade(t *testing.T) {
	behind := startPublic(t, `
listeners: [{name: main, address: "127.0.0.1:0"}]
name_server: {listeners: [{name: ns, address: "127.0.0.1:0"}]}
`)
	port := portOf(behind.facade.listeners[0])
	if _, err := caller(t, port, names.OwnName).Call(t.Context(), "register", []values.Value{"lab.cam", "PYRO:cam@" + startDaemon(t)}, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r := startPublic(t, fmt.Sprintf(`
listeners: [{name: main, address: "127.0.0.1:0"}]
name_server: {listeners: [{name: ns, address: "127.0.0.1:0"}], upstream: "127.0.0.1:%d"}
`, port))
		if _, err := connect(t, portOf(r.opened[0]), "cam"); err != nil {
			t.Error(err)
		}
		r.stop()
	}
}
