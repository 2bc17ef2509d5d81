package backend

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// called is a lease in mode session whose CONNECT has been answered, with a call
// under way.
func (r *rig) called(t *testing.T) *Lease {
	t.Helper()
	l := r.acquire(t, nil)
	if _, err := l.Conn.Write(pyrotest.ConnectMessage(v502, wire.Serpent, "x", "hello").Bytes()); err != nil {
		t.Fatal(err)
	}
	if m, err := pyrotest.ReadMessage(l.Conn.Conn); err != nil || m.Head.Type != wire.ConnectOK {
		t.Fatalf("the CONNECT was answered by %v, %v", m.Head.Type, err)
	}
	l.Answered(v502)
	m := pyrotest.Message{Head: wire.Head{Dialect: v502, Type: wire.Invoke, SerializerID: v502.SerializerID(wire.Serpent), Seq: 1}}
	if _, err := l.Conn.Write(m.Bytes()); err != nil {
		t.Fatal(err)
	}
	return l
}

// working is a lease in either mode with a call under way, which somebody reads if
// read.
func (r *rig) working(t *testing.T, pooled, read bool) *Lease {
	t.Helper()
	if pooled {
		c := r.connected(t, "x")
		t.Cleanup(c.leave)
		l := c.must(t)
		if _, err := l.Conn.Write(c.invoke().Bytes()); err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := r.called(t)
	if read {
		adopt(l.Conn)
	}
	return l
}

// TestGivenUp: what becomes of a connection on whose call the daemon is at work, and
// whether that is held against the endpoint.
func TestGivenUp(t *testing.T) {
	tests := []struct {
		outcome   Outcome
		explained bool // a call from the endpoint's host has failed
		fails     bool
		ghost     bool
	}{
		{TimedOut, false, true, true},
		{TimedOut, true, false, true},
		{Abandoned, false, false, true},
		{Excused, false, false, false},
		{Broken, false, true, false},
		{Broken, true, false, false},
	}
	for _, test := range tests {
		for _, pooled := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d, explained %v, pooled %v", test.outcome, test.explained, pooled), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg := pooling(addrA, addrB) // the only one is never ejected
					cfg.Hops = &Hops{}
					cfg.Breaker = BreakerConfig{ConsecutiveFailures: 1, Open: time.Minute}
					cfg.Outlier = health.OutlierConfig{ConsecutiveFailures: 1, Window: time.Minute, Ejection: time.Minute, MaxEjection: time.Minute}
					cfg.MaxEjected = 100
					r := newRigWith(cfg)
					if err := r.Drain(addrB); err != nil {
						t.Fatal(err)
					}
					signal := make(chan struct{})
					d := r.daemon(t, addrA, &pyrotest.Daemon{OnInvoke: pyrotest.AfterSignal(signal, pyrotest.Echo)})
					l := r.working(t, pooled, true)
					if test.explained {
						cfg.Hops.Failed(netip.MustParseAddr("192.0.2.1"))
					}
					l.Done(test.outcome)
					ghosts := 0
					if test.ghost {
						ghosts = 1
					}
					r.states(t, "given up", 0, 0, ghosts, 0)
					if got := r.breaker(t, addrA); (got == "open") != test.fails {
						t.Errorf("the breaker is %s", got)
					}
					if got := r.samples(t, "endpoint_ejections_total", "endpoint")[addrA]; (got == 1) != test.fails {
						t.Errorf("endpoint_ejections_total is %v", got)
					}
					excused := test.explained || test.outcome == Excused
					if got := r.samples(t, "endpoint_failures_explained_total", "endpoint")[addrA]; (got == 1) != excused {
						t.Errorf("endpoint_failures_explained_total is %v", got)
					}
					close(signal)
					r.states(t, "the daemon is done", 0, 0, 0, 0)
					if n := d.Open(); n != 0 {
						t.Errorf("%d connections are open", n)
					}
				})
			})
		}
	}
}

// TestSessionGhosts: in mode session too a call that was given up counts until the
// daemon has let go of it, where somebody reads on.
func TestSessionGhosts(t *testing.T) {
	for _, o := range []Outcome{TimedOut, Abandoned} {
		for _, end := range []string{"reply", "reset", "ghost_timeout"} {
			synctest.Test(t, func(t *testing.T) {
				cfg := waiting(addrA)
				cfg.GhostTimeout = time.Minute
				cfg.QueueTimeout = 0
				r := newRigWith(cfg)
				signal := make(chan struct{})
				defer close(signal)
				d := r.daemon(t, addrA, &pyrotest.Daemon{OnInvoke: pyrotest.AfterSignal(signal, pyrotest.Echo)})
				l := r.working(t, false, true)
				l.Done(o)
				r.states(t, "given up", 0, 0, 1, 0)
				if !l.Conn.Haunting() {
					t.Error("what comes is taken to be for somebody")
				}
				q := newLine(t, r)
				q.join(t.Context(), "next", &Attempt{Dialect: v502})
				q.want() // its slot is taken
				began := time.Now()
				switch end {
				case "reply":
					signal <- struct{}{} // and then the daemon comes upon the end that we have sent
				case "reset":
					d.Conns()[0].Reset()
				case "ghost_timeout":
					time.Sleep(time.Minute)
				}
				q.want("next")
				if took := time.Since(began); end == "ghost_timeout" && took != time.Minute || end != "ghost_timeout" && took != 0 {
					t.Errorf("%s: it took %v", end, took)
				}
				q.done("next")
				r.wantQuiet(t)
			})
		}
	}
}

// TestNoGhosts: nothing is waited for where nobody would hear of its end, or nothing
// is to be waited for, or it has ended.
func TestNoGhosts(t *testing.T) {
	tests := []struct {
		name               string
		pooled, read, dead bool
		timeout            time.Duration
	}{
		{"a session that nobody reads", false, false, false, time.Minute},
		{"a session, ghost_timeout 0", false, true, false, 0},
		{"a session that has ended", false, true, true, time.Minute},
		{"pooled, ghost_timeout 0", true, true, false, 0},
		{"pooled, and has ended", true, true, true, time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := pooling(addrA)
				cfg.GhostTimeout = test.timeout
				r := newRigWith(cfg)
				signal := make(chan struct{})
				d := r.daemon(t, addrA, &pyrotest.Daemon{OnInvoke: pyrotest.AfterSignal(signal, pyrotest.Echo)})
				l := r.working(t, test.pooled, test.read)
				var gone atomic.Int32
				l.OnGone(func() { gone.Add(1) })
				if test.dead {
					d.Conns()[len(d.Conns())-1].Reset()
					synctest.Wait()
				}
				l.Done(TimedOut)
				r.states(t, "given up", 0, 0, 0, 0)
				if n := gone.Load(); n != 1 {
					t.Errorf("told %d times that it is gone", n)
				}
				close(signal)
				synctest.Wait()
				if n, told := d.Open(), gone.Load(); n != 0 || told != 1 {
					t.Errorf("in the end %d connections are open, and it was told %d times", n, told)
				}
			})
		})
	}
}

// TestOnGone: whoever wants to know when the daemon has let go hears it once, then and
// not before, and may call the cluster.
func TestOnGone(t *testing.T) {
	outcomes := []Outcome{
		Served, Cancelled, Refused, Saturated, OtherDialect, Unanswered, Broken, Garbled,
		Resting, Doubtful, Spent, Torn, Abandoned, TimedOut, Excused,
	}
	for _, o := range outcomes {
		for _, pooled := range []bool{true, false} {
			for _, timeout := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					r := newRigWith(pooling(addrA))
					signal := make(chan struct{})
					r.daemon(t, addrA, &pyrotest.Daemon{OnInvoke: pyrotest.AfterSignal(signal, pyrotest.Echo)})
					l := r.working(t, pooled, true)
					var told [2]atomic.Int32
					for i := range told {
						l.OnGone(func() {
							r.Status() // it is not under the lock
							told[i].Add(1)
						})
					}
					want := func(when string, want int32) {
						t.Helper()
						synctest.Wait()
						if a, b := told[0].Load(), told[1].Load(); a != want || b != want {
							t.Errorf("%d, pooled %v: %s: they were told %d and %d times, want %d", o, pooled, when, a, b, want)
						}
					}
					want("before the end", 0)
					l.Done(o)
					if o == TimedOut || o == Abandoned {
						want("at the end", 0)
						time.Sleep(time.Minute - 1)
						want("while the daemon is at work", 0)
					} else {
						want("at the end", 1)
					}
					if timeout {
						time.Sleep(time.Nanosecond)
						want("after ghost_timeout", 1)
					}
					close(signal)
					want("when the daemon is done", 1)
				})
			}
		}
	}
}

// TestLate: a call that got no reply in time is held against the endpoint at once,
// while the session goes on, unless it is explained by another.
func TestLate(t *testing.T) {
	for _, explained := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := breaking(addrA, addrB) // the only one is never ejected
			cfg.Hops = &Hops{}
			cfg.Outlier = health.OutlierConfig{ConsecutiveFailures: 3, Window: time.Minute, Ejection: time.Minute, MaxEjection: time.Minute}
			cfg.MaxEjected = 100
			r := newRigWith(cfg)
			r.open(t, addrA)
			if err := r.Drain(addrB); err != nil {
				t.Fatal(err)
			}
			l := r.acquire(t, nil)
			l.Answered(v502)
			if explained {
				cfg.Hops.Failed(netip.MustParseAddr("192.0.2.1"))
			}
			want := func(when, breaker string, ejections, n float64) {
				t.Helper()
				if explained {
					breaker, ejections = "closed", 0
				} else {
					n = 0
				}
				r.wantBreaker(t, when, breaker)
				if got := r.samples(t, "endpoint_ejections_total", "endpoint")[addrA]; got != ejections {
					t.Errorf("%s: endpoint_ejections_total is %v", when, got)
				}
				if got := r.samples(t, "endpoint_failures_explained_total", "endpoint")[addrA]; got != n {
					t.Errorf("%s: endpoint_failures_explained_total is %v", when, got)
				}
			}
			l.Late()
			want("one", "closed", 0, 1)
			l.Late()
			want("two", "open", 0, 2)
			r.states(t, "late", 1, 0, 0, 0)
			l.Late() // its breaker is open, and it is late all the same
			want("three", "open", 1, 3)
			l.Done(Served)
			r.wantNoneOpen(t)
		})
	}
}
