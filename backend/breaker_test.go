package backend

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// breaking is a cluster of sessions whose breakers open after two failures.
func breaking(addresses ...string) Config {
	return Config{
		Members: members(addresses...), Queue: 1024, QueueTimeout: 30 * time.Second,
		Breaker: BreakerConfig{ConsecutiveFailures: 2, Window: 10 * time.Second, Open: 5 * time.Second, Probes: 1},
	}
}

// breaker is an endpoint's breaker as the status has it.
func (r *rig) breaker(t *testing.T, address string) string {
	t.Helper()
	for _, s := range r.Status().Endpoints {
		if s.Address == address {
			return s.Breaker
		}
	}
	t.Fatalf("there is no %s", address)
	return ""
}

// wantBreaker checks the state of A's breaker.
func (r *rig) wantBreaker(t *testing.T, when, want string) {
	t.Helper()
	if got := r.breaker(t, addrA); got != want {
		t.Errorf("%s: the breaker is %s, want %s", when, got, want)
	}
}

// end has one session end so, after the answer to its CONNECT or before.
func (r *rig) end(t *testing.T, answered bool, o Outcome) {
	t.Helper()
	l := r.acquire(t, nil)
	if answered {
		l.Answered(v502)
	}
	l.Done(o)
}

// TestBreakerOutcomes: what counts as a failure, what as a success, and what as
// neither.
func TestBreakerOutcomes(t *testing.T) {
	tests := []struct {
		outcome  Outcome
		answered bool
		opens    bool // two of them
		resets   bool // one of them between two failures
	}{
		{Served, false, false, true},
		{Refused, false, false, true},
		{Cancelled, false, false, false},
		{Saturated, false, false, false},
		{OtherDialect, false, false, false},
		{Abandoned, false, false, false},
		{Torn, false, false, false},
		{Unanswered, false, true, false},
		{Broken, false, true, false},
		{Garbled, false, true, false},
		{TimedOut, false, true, false},
		{Excused, false, false, false},
		{Broken, true, false, true}, // the answer is a success each time
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d, answered %v", test.outcome, test.answered), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(breaking(addrA))
				r.open(t, addrA)
				for range 2 {
					r.end(t, test.answered, test.outcome)
					time.Sleep(100 * time.Millisecond) // a full one wants to be left alone
				}
				if got := r.breaker(t, addrA); (got == "open") != test.opens {
					t.Errorf("after two the breaker is %s", got)
				}

				r = newRigWith(breaking(addrA))
				r.open(t, addrA)
				r.end(t, false, Broken)
				r.end(t, test.answered, test.outcome)
				time.Sleep(100 * time.Millisecond)
				if !test.answered && !test.opens {
					r.end(t, false, Broken)
				}
				if got := r.breaker(t, addrA); (got == "open") == test.resets {
					t.Errorf("between two failures: the breaker is %s", got)
				}
			})
		})
	}
}

// TestBreakerRatio: so many failures of so many calls open the breaker, but not
// of fewer, nor of older ones.
func TestBreakerRatio(t *testing.T) {
	tests := []struct {
		name  string
		calls string // s, f, or a pause of a window's length
		want  string
	}{
		{"too few", "fffffffff", "closed"},
		{"enough", "ffffffffff", "open"},
		{"half of them", "sfsfsfsfsf", "open"},
		{"less than half", "sfsfsfsssf", "closed"},
		{"then half", "sfsfsfsssff", "closed"},
		{"old ones do not count", "fffffffff_f", "closed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := breaking(addrA)
				cfg.Breaker.ConsecutiveFailures = 0
				cfg.Breaker.FailureRatio, cfg.Breaker.MinimumCalls = 50, 10
				r := newRigWith(cfg)
				r.open(t, addrA)
				for _, c := range test.calls {
					switch c {
					case 's':
						r.end(t, false, Served)
					case 'f':
						r.end(t, false, Broken)
					case '_':
						time.Sleep(11 * time.Second)
					}
				}
				r.wantBreaker(t, test.calls, test.want)
			})
		})
	}
}

// TestBreakerLife follows a breaker through its states, beside an endpoint that
// is well.
func TestBreakerLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(breaking(addrA, addrB))
		r.open(t, addrA, addrB)
		goes := func(when, want string) {
			t.Helper()
			got := ""
			for range 4 {
				l := r.acquire(t, nil)
				got += map[string]string{addrA: "a", addrB: "b"}[l.Endpoint.Address.Addr]
				l.Done(Served)
			}
			if got != want {
				t.Errorf("%s: sessions went to %s, want %s", when, got, want)
			}
		}
		fail := func() {
			for l := r.acquire(t, nil); ; l = r.acquire(t, nil) {
				if l.Endpoint.Address.Addr == addrA {
					l.Done(Broken)
					return
				}
				l.Done(Cancelled)
			}
		}
		fail()
		fail()
		r.wantBreaker(t, "after two failures", "open")
		goes("open", "bbbb")
		time.Sleep(5*time.Second + 1)
		r.wantBreaker(t, "after its time", "half-open")
		probe := r.acquire(t, nil)
		if probe.Endpoint.Address.Addr != addrA {
			t.Fatalf("the probe went to %s", probe.Endpoint.Address)
		}
		goes("half-open, with a probe", "bbbb")
		probe.Done(Unanswered)
		r.wantBreaker(t, "after the probe failed", "open")
		goes("open again", "bbbb")
		time.Sleep(5*time.Second + 1)
		fail()
		time.Sleep(5*time.Second + 1)
		l := r.acquire(t, nil)
		if l.Endpoint.Address.Addr != addrA {
			t.Fatalf("the probe went to %s", l.Endpoint.Address)
		}
		l.Done(Served)
		r.wantBreaker(t, "after the probe succeeded", "closed")
		goes("closed", "baba")
		want := map[string]float64{"open": 3, "half-open": 3, "closed": 1}
		if diff := cmp.Diff(want, r.samples(t, "endpoint_breaker_transitions_total", "state")); diff != "" {
			t.Errorf("endpoint_breaker_transitions_total (-want +got):\n%s", diff)
		}
		r.wantNoneOpen(t)
	})
}

// TestBreakerSessions: a session's endpoint has passed once it has answered the
// CONNECT, however long the session lasts.
func TestBreakerSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(breaking(addrA))
		r.open(t, addrA)
		r.end(t, false, Broken)
		r.end(t, false, Broken)
		time.Sleep(5*time.Second + 1)
		l := r.acquire(t, nil)
		r.wantBreaker(t, "with a probe", "half-open")
		l.Answered(v502)
		l.Answered(v502)
		r.wantBreaker(t, "after the answer", "closed")
		r.end(t, false, Broken)
		l.Done(Broken) // later than that it failed all the same
		r.wantBreaker(t, "after the end", "open")
	})
}

// TestBreakerNeverWedged: probes whose outcome is never known, or says nothing, or
// comes hours later, let others through.
func TestBreakerNeverWedged(t *testing.T) {
	for _, probes := range []int{1, 3} {
		t.Run(fmt.Sprint(probes, " probes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := breaking(addrA, addrB)
				cfg.Breaker.Probes = probes
				r := newRigWith(cfg)
				r.open(t, addrA, addrB)
				toA := func() *Lease {
					t.Helper()
					for range 3 {
						l := r.acquire(t, nil)
						if l.Endpoint.Address.Addr == addrA {
							return l
						}
						l.Done(Served)
					}
					return nil
				}
				toA().Done(Broken)
				toA().Done(Broken)
				time.Sleep(5*time.Second + 1)
				var never []*Lease
				for range 20 {
					for range probes {
						l := toA()
						if l == nil {
							t.Fatal("no probe is let through")
						}
						never = append(never, l)
					}
					if l := toA(); l != nil {
						t.Fatal("one probe too many")
					}
					time.Sleep(time.Hour)
				}
				for i := range 20 {
					l := toA()
					if l == nil {
						t.Fatal("no probe is let through")
					}
					l.Done([]Outcome{Cancelled, Abandoned, Torn}[i%3])
				}
				for _, l := range never[:len(never)/2] {
					l.Done(Broken) // of no account by now
				}
				r.wantBreaker(t, "late outcomes", "half-open")
				for range probes {
					toA().Done(Served)
				}
				r.wantBreaker(t, "the probes succeeded", "closed")
				for _, l := range never[len(never)/2:] {
					l.Done(Broken)
				}
				r.wantBreaker(t, "later outcomes", "closed")
				r.wantNoneOpen(t)
			})
		})
	}
}

// TestAllOpen: where no breaker lets anybody through, endpoints are used all the
// same.
func TestAllOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(breaking(addrA, addrB))
		r.open(t, addrA, addrB)
		for range 4 {
			r.end(t, false, Broken)
		}
		if a, b := r.breaker(t, addrA), r.breaker(t, addrB); a != "open" || b != "open" {
			t.Fatalf("they are %s and %s", a, b)
		}
		got := make(map[string]int)
		for range 10 {
			l := r.acquire(t, nil)
			got[l.Endpoint.Address.Addr]++
			l.Done(Served)
		}
		if diff := cmp.Diff(map[string]int{addrA: 5, addrB: 5}, got); diff != "" {
			t.Errorf("sessions by endpoint (-want +got):\n%s", diff)
		}
	})
}

// TestAllOpenQueue: those who wait for endpoints that are only the last resort are
// served as soon as those have room.
func TestAllOpenQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := breaking(addrA)
		cfg.MaxConnections = 1
		r := newRigWith(cfg)
		r.open(t, addrA)
		r.end(t, false, Broken)
		r.end(t, false, Broken)
		holder := r.acquire(t, nil)
		q := newLine(t, r)
		for i := range 5 {
			q.join(t.Context(), fmt.Sprint(i), &Attempt{Dialect: v502})
		}
		began := time.Now()
		holder.Done(Served)
		synctest.Wait()
		for i := range 5 {
			q.done(fmt.Sprint(i))
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("took %v", took)
		}
		r.wantQuiet(t)
	})
}

// TestCallsOutcomes: calls on pooled connections count one by one, and where they
// may be sent again it is to another endpoint.
func TestCallsOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA, addrB)
		cfg.Breaker = breaking().Breaker
		r := newRigWith(cfg)
		r.daemon(t, addrA, &pyrotest.Daemon{OnInvoke: pyrotest.Hangup})
		r.daemon(t, addrB, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		failed := 0
		for range 8 {
			l, err := c.lease(t.Context())
			for err == nil {
				var addr string
				if addr, err = c.on(l); err == nil {
					if addr != addrB {
						t.Errorf("served by %s", addr)
					}
					break
				}
				failed++
				l, err = r.Acquire(t.Context(), c.a)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if failed != 2 {
			t.Errorf("%d calls failed, before the breaker opened at two", failed)
		}
		r.wantBreaker(t, "after them", "open")
		c.leave()
		r.wantQuiet(t)
	})
}

// TestBreakerLongCalls: calls that take longer than the window count when they end.
func TestBreakerLongCalls(t *testing.T) {
	tests := []struct {
		name string
		ends []Outcome
		want string
	}{
		{"failures", []Outcome{TimedOut, TimedOut}, "open"},
		{"a success between", []Outcome{TimedOut, Served, TimedOut}, "closed"},
		{"nothing between", []Outcome{Broken, Cancelled, Broken}, "open"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(breaking(addrA))
				r.open(t, addrA)
				var leases []*Lease
				for range test.ends {
					leases = append(leases, r.acquire(t, nil))
				}
				time.Sleep(30 * time.Second)
				for i, o := range test.ends {
					leases[i].Done(o)
				}
				r.wantBreaker(t, "after them", test.want)
				r.wantNoneOpen(t)
			})
		})
	}
}

// TestBreakerBefore: a call from before the breaker opened is of no account after.
func TestBreakerBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(breaking(addrA))
		r.open(t, addrA)
		old := []*Lease{r.acquire(t, nil), r.acquire(t, nil), r.acquire(t, nil)}
		r.end(t, false, Broken)
		r.end(t, false, Broken)
		time.Sleep(5*time.Second + 1)
		r.wantBreaker(t, "after its time", "half-open")
		old[0].Done(Broken)
		r.wantBreaker(t, "with an old failure", "half-open")
		r.end(t, false, Served)
		r.wantBreaker(t, "after the probe succeeded", "closed")
		old[1].Done(Broken)
		old[2].Done(Broken)
		r.wantBreaker(t, "with old failures", "closed")
		r.wantNoneOpen(t)
	})
}

// TestBreakerSlowRow: failures in a row count however far apart they are.
func TestBreakerSlowRow(t *testing.T) {
	tests := []struct {
		name string
		ends []Outcome
		want string
	}{
		{"failures", []Outcome{Broken, Broken}, "open"},
		{"a success between", []Outcome{Broken, Served, Broken}, "closed"},
		{"nothing between", []Outcome{Broken, Cancelled, Broken}, "open"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(breaking(addrA))
				r.open(t, addrA)
				for _, o := range test.ends {
					time.Sleep(time.Minute)
					r.end(t, false, o)
				}
				r.wantBreaker(t, "after them", test.want)
			})
		})
	}
}
