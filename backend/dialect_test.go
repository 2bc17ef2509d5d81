package backend

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestMatch is the table of how well an endpoint suits a client of Pyro5.
func TestMatch(t *testing.T) {
	tests := []struct {
		name             string
		declared, learnt wire.Dialect
		ago              time.Duration // since it was learnt
		want             fit
	}{
		{"nothing known", 0, 0, 0, fits},
		{"declared the same", v502, 0, 0, fits},
		{"declared the other", v48, 0, 0, never},
		{"learnt the same", 0, v502, 0, fits},
		{"learnt the same long ago", 0, v502, time.Hour, fits},
		{"learnt the other", 0, v48, 0, never},
		{"learnt the other, the last moment", 0, v48, relearnAfter, never},
		{"learnt the other long ago", 0, v48, relearnAfter + 1, lastResort},
		{"declared the other, and learnt the same", v48, v502, 0, never},
		{"declared the same, and learnt the other", v502, v48, 0, fits},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			now := time.Now()
			e := &Endpoint{declared: test.declared, learnt: test.learnt, learntAt: now.Add(-test.ago)}
			if got := e.match(v502, now); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// offers reports whether the cluster has an endpoint for a client of d. It says
// nothing of the lease that it had for that.
func (r *rig) offers(t *testing.T, d wire.Dialect) bool {
	t.Helper()
	l, err := r.Acquire(t.Context(), &Attempt{Dialect: d})
	if err != nil {
		if !errors.Is(err, ErrUnreachable) {
			t.Fatal(err)
		}
		return false
	}
	l.Done(Cancelled)
	return true
}

// TestLearning follows what one endpoint is known to speak. It has been learnt
// to speak Pyro4, and clients of Pyro5 may come or not.
func TestLearning(t *testing.T) {
	lease := func(t *testing.T, r *rig, d wire.Dialect) *Lease {
		return r.acquire(t, &Attempt{Dialect: d})
	}
	tests := []struct {
		name   string
		events func(*testing.T, *rig)
		want   bool // a client of Pyro5 may come
	}{
		{"just learnt", func(*testing.T, *rig) {}, false},
		{"a minute ago", func(*testing.T, *rig) { time.Sleep(relearnAfter) }, false},
		{"more than a minute ago", func(*testing.T, *rig) { time.Sleep(relearnAfter + 1) }, true},
		{"confirmed since", func(t *testing.T, r *rig) {
			time.Sleep(relearnAfter)
			l := lease(t, r, v48)
			l.Answered(v48)
			l.Done(Served)
			time.Sleep(relearnAfter)
		}, false},
		{"confirmed by a refusal", func(t *testing.T, r *rig) {
			time.Sleep(relearnAfter)
			l := lease(t, r, v48)
			l.Answered(v48)
			l.Done(Refused)
			time.Sleep(relearnAfter)
		}, false},
		{"confirmed by a client of Pyro5, who came in vain", func(t *testing.T, r *rig) {
			time.Sleep(relearnAfter + 1)
			l := lease(t, r, v502)
			l.Learn(v48)
			l.Done(OtherDialect)
			time.Sleep(relearnAfter)
		}, false},
		{"replaced, as a client of Pyro5 found", func(t *testing.T, r *rig) {
			time.Sleep(relearnAfter + 1)
			l := lease(t, r, v502)
			l.Answered(v502)
			l.Done(Served)
		}, true},
		{"replaced, as a client of Pyro4 found", func(t *testing.T, r *rig) {
			l := lease(t, r, v48)
			l.Learn(v502)
			l.Done(OtherDialect)
		}, true},
		{"was down", func(t *testing.T, r *rig) {
			r.network.Refuse(addrA)
			if r.offers(t, v48) {
				t.Error("it is not down")
			}
			r.network.Restore(addrA)
		}, true},
		{"was silent", func(t *testing.T, r *rig) {
			r.network.BlackHole(addrA)
			if r.offers(t, v48) {
				t.Error("it is not silent")
			}
			r.network.Restore(addrA)
		}, true},
		{"closed instead of answering", func(t *testing.T, r *rig) { lease(t, r, v48).Done(Broken) }, true},
		{"broke in a call", func(t *testing.T, r *rig) {
			l := lease(t, r, v48)
			l.Answered(v48)
			l.Done(Broken)
		}, false},
		{"did not answer: a busy daemon", func(t *testing.T, r *rig) { lease(t, r, v48).Done(Unanswered) }, false},
		{"sent rubbish", func(t *testing.T, r *rig) { lease(t, r, v48).Done(Garbled) }, false},
		{"the client left", func(t *testing.T, r *rig) { lease(t, r, v48).Done(Cancelled) }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(addrA)
				r.open(t, addrA)
				r.learnt(v48, addrA)
				test.events(t, r)
				if got := r.offers(t, v502); got != test.want {
					t.Errorf("a client of Pyro5 may come: %v, want %v", got, test.want)
				}
				r.wantNoneOpen(t)
			})
		})
	}
}

// TestLastResort: an endpoint that spoke the other dialect long ago is chosen
// when every other that suits was tried, and not before.
func TestLastResort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(addrABCD...)
		r.open(t, addrABCD...)
		r.learnt(v48, addrA, addrC)
		r.learnt(v502, addrB)
		time.Sleep(relearnAfter + 1)
		r.learnt(v48, addrD)

		for range 5 {
			l := r.acquire(t, nil)
			if got := l.Endpoint.Address.Addr; got != addrB {
				t.Fatalf("got %s while there is %s", got, addrB)
			}
			l.Done(Cancelled)
		}
		a := &Attempt{Dialect: v502}
		for _, want := range []string{addrB, addrC, addrA} {
			l := r.acquire(t, a)
			if got := l.Endpoint.Address.Addr; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			l.Learn(v48)
			l.Done(OtherDialect)
		}
		if _, err := r.Acquire(t.Context(), a); !errors.Is(err, ErrUnreachable) {
			t.Errorf("D was learnt just now, and yet: %v", err)
		}
	})
}
