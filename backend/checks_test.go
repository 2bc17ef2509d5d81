package backend

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// checking is a cluster whose endpoints are asked every ten seconds.
func checking(addresses ...string) Config {
	cfg := pooling(addresses...)
	cfg.Health = HealthConfig{
		Interval: 10 * time.Second, Timeout: 3 * time.Second, Rise: 2, Fall: 3,
		Serializer: wire.Serpent, Handshake: "hello",
	}
	return cfg
}

// state is that of an endpoint in the status.
func (r *rig) state(t *testing.T, address string) (state, why string) {
	t.Helper()
	for _, s := range r.Status().Endpoints {
		if s.Address == address {
			return s.State, s.Why
		}
	}
	return "", ""
}

// moody is a daemon whose answers to CONNECTs can be changed.
type moody struct {
	script atomic.Pointer[pyrotest.Script]
}

func (m *moody) be(s pyrotest.Script) { m.script.Store(&s) }

func (m *moody) daemon() *pyrotest.Daemon {
	m.be(pyrotest.AcceptConnect)
	return &pyrotest.Daemon{OnConnect: func(c *pyrotest.DaemonConn, msg pyrotest.Message) {
		(*m.script.Load())(c, msg)
	}}
}

// TestChecks: after three bad checks in a row an endpoint is down, after two good
// ones up again. What a daemon says that is busy changes nothing.
func TestChecks(t *testing.T) {
	tests := []struct {
		name    string
		mood    pyrotest.Script
		busy    bool // a call is under way
		session bool // a session is, which is no call
		down    string
	}{
		{"well", pyrotest.AcceptConnect, false, false, ""},
		{"refuses what it was asked by default", pyrotest.RejectConnect("no"), false, false, ""},
		{"no free workers", pyrotest.RejectConnect(pyrotest.NoFreeWorkers), false, false, ""},
		{"silent", pyrotest.Silence, false, false, "unanswered"},
		{"silent, while a call is under way", pyrotest.Silence, true, false, ""},
		{"silent, beside a session", pyrotest.Silence, false, true, "unanswered"},
		{"hangs up", pyrotest.Hangup, false, false, "closed"},
		{"hangs up, while a call is under way", pyrotest.Hangup, true, false, "closed"},
		{"garbage", pyrotest.Garbage([]byte("HTTP/1.1 400 Bad Request\r\n\r\n and more of it")), false, false, "garbled"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigWith(checking(addrA, addrB))
				var m moody
				r.daemon(t, addrA, m.daemon())
				r.daemon(t, addrB, &pyrotest.Daemon{})
				stop := r.run(t)
				time.Sleep(time.Minute)
				var lease *Lease
				a := &Attempt{Dialect: v502}
				if test.busy {
					c := r.connected(t, "x")
					a = c.a
				}
				if test.busy || test.session {
					r.of(t, addrB, func(e *Endpoint) { e.drained = true })
					lease = r.acquire(t, a)
					r.of(t, addrB, func(e *Endpoint) { e.drained = false })
				}
				if test.session {
					lease.Answered(v502)
				}
				m.be(test.mood)
				time.Sleep(15 * time.Second)
				if state, _ := r.state(t, addrA); state != "up" {
					t.Errorf("after one check it is %s", state)
				}
				time.Sleep(30 * time.Second)
				state, why := r.state(t, addrA)
				if down := state == "down"; down != (test.down != "") {
					t.Errorf("it is %s: %s", state, why)
				}
				if test.down != "" {
					if want := test.down + ": "; len(why) < len(want) || why[:len(want)] != want {
						t.Errorf("it is down because of %q", why)
					}
					if up := r.samples(t, "endpoint_up", "endpoint"); !cmp.Equal(up, map[string]float64{addrB: 1}) {
						t.Errorf("endpoint_up is %v", up)
					}
					for range 4 {
						if l := r.acquire(t, nil); l.Endpoint.Address.Addr == addrA {
							t.Error("a session went there")
							l.Done(Served)
						} else {
							l.Done(Served)
						}
					}
				}
				m.be(pyrotest.AcceptConnect)
				time.Sleep(35 * time.Second)
				if state, why := r.state(t, addrA); state != "up" {
					t.Errorf("afterwards it is %s: %s", state, why)
				}
				if lease != nil {
					lease.Done(Served)
				}
				stop()
				r.wantQuiet(t)
			})
		})
	}
}

// TestCheckWhileBusy: a check is neutral also where the call that kept the daemon
// has ended before the check was given up, and in a session where the holder says
// that there is a call.
func TestCheckWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := checking(addrA)
		cfg.Health.Fall = 1
		r := newRigWith(cfg)
		var m moody
		r.daemon(t, addrA, m.daemon())
		stop := r.run(t)
		c := r.connected(t, "x")
		m.be(pyrotest.Silence)
		for range 60 {
			l := c.must(t)
			time.Sleep(10 * time.Millisecond)
			l.Done(Served)
			time.Sleep(990 * time.Millisecond)
		}
		if state, why := r.state(t, addrA); state != "up" {
			t.Errorf("it is %s: %s", state, why)
		}
		l := r.acquire(t, nil)
		l.Answered(v502)
		l.Busy(true)
		l.Busy(true)
		time.Sleep(time.Minute)
		if state, why := r.state(t, addrA); state != "up" {
			t.Errorf("during a session's call it is %s: %s", state, why)
		}
		l.Busy(false)
		time.Sleep(20 * time.Second)
		if state, _ := r.state(t, addrA); state != "down" {
			t.Errorf("after a session's call it is %s", state)
		}
		l.Busy(true)
		l.Done(Served)
		c.leave()
		stop()
		r.wantQuiet(t)
		r.of(t, addrA, func(e *Endpoint) {
			if n := e.calls.Load(); n != 0 {
				t.Errorf("%d calls are under way", n)
			}
		})
	})
}

// TestCheckObject: where a check asks for an object, a daemon that refuses it is
// not well.
func TestCheckObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := checking(addrA)
		cfg.Health.Object = "camera"
		r := newRigWith(cfg)
		var m moody
		d := r.daemon(t, addrA, m.daemon())
		stop := r.run(t)
		time.Sleep(15 * time.Second)
		m.be(pyrotest.RejectConnect("unknown object"))
		time.Sleep(40 * time.Second)
		if state, why := r.state(t, addrA); state != "down" {
			t.Errorf("it is %s: %s", state, why)
		}
		if connect := d.Conns()[0].Connect; !says(connect.Data, "camera") {
			t.Errorf("the check asked with %q", connect.Data)
		}
		stop()
	})
}

// TestCheckLearnsDialect: an undeclared endpoint's dialect is learnt by asking,
// also when the daemon was replaced.
func TestCheckLearnsDialect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := checking(addrA, addrB)
		cfg.Members[1].Dialect = v502
		r := newRigWith(cfg)
		old := r.daemon(t, addrA, &pyrotest.Daemon{Dialect: v48})
		r.daemon(t, addrB, &pyrotest.Daemon{Dialect: v48}) // is declared to be another
		stop := r.run(t)
		want := func(dialect wire.Dialect) {
			t.Helper()
			time.Sleep(25 * time.Second)
			for _, s := range r.Status().Endpoints {
				if s.Address == addrA && (s.Dialect != dialect.String() || s.State != "up") {
					t.Errorf("it is %+v", s)
				}
				if s.Address == addrB && s.Dialect != "pyro5" {
					t.Errorf("what is declared is %+v", s)
				}
			}
		}
		want(v48)
		old.Close()
		r.daemon(t, addrA, &pyrotest.Daemon{Dialect: v502})
		want(v502)
		stop()
	})
}

// TestOnDown: sessions are told that their endpoint is down where they are to be
// closed then, each once, and only those that are still there.
func TestOnDown(t *testing.T) {
	for _, closing := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			cfg := checking(addrA, addrB)
			cfg.CloseOnDown = closing
			r := newRigWith(cfg)
			var m moody
			d := r.daemon(t, addrA, m.daemon())
			r.daemon(t, addrB, &pyrotest.Daemon{})
			stop := r.run(t)
			told := make(map[string]int)
			var leases []*Lease
			for range 6 {
				l := r.acquire(t, nil)
				l.Answered(v502)
				addr := l.Endpoint.Address.Addr
				l.OnDown(func() {
					told[addr]++
					r.Status() // it may come back
				})
				leases = append(leases, l)
			}
			leases[0].Done(Served)
			leases[1].Done(Served)
			c := r.connected(t, "x")
			c.mustCall(t)
			c.mustCall(t)
			m.be(pyrotest.Hangup)
			time.Sleep(50 * time.Second)
			synctest.Wait()
			want := map[string]int{}
			if closing {
				want[addrA] = 2
			}
			if diff := cmp.Diff(want, told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			r.of(t, addrA, func(e *Endpoint) {
				if len(e.idle) > 0 {
					t.Errorf("%d idle connections are left", len(e.idle))
				}
			})
			for _, l := range leases[2:] {
				l.Done(Served)
			}
			c.leave()
			stop()
			r.wantQuiet(t)
			synctest.Wait()
			if n := d.Open(); n != 0 {
				t.Errorf("%d connections are open", n)
			}
		})
	}
}

// TestChecksEnd: the checks of an endpoint that is removed end, and begin again
// when it is back.
func TestChecksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := checking(addrA)
		r := newRigWith(cfg)
		d := r.daemon(t, addrA, &pyrotest.Daemon{})
		stop := r.run(t)
		time.Sleep(time.Minute)
		n := len(d.Conns())
		if n < 5 || n > 7 {
			t.Errorf("%d checks in a minute", n)
		}
		held := r.acquire(t, nil) // so that the endpoint stays
		r.SetMembers(0, nil)
		time.Sleep(time.Minute)
		if got := len(d.Conns()); got != n+1 {
			t.Errorf("%d connections, before %d and one lease", got, n)
		}
		if found := r.samples(t, "health_checks_total", "result"); found["alive"] != float64(n) {
			t.Errorf("health_checks_total is %v", found)
		}
		r.SetMembers(0, members(addrA))
		time.Sleep(time.Minute)
		if got := len(d.Conns()); got < n+5 {
			t.Errorf("%d connections: it is not checked again", got)
		}
		held.Done(Served)
		stop()
		r.wantQuiet(t)
	})
}

// TestCheckUnreachable: an endpoint that nothing is heard of is down, and one that
// nobody listens at.
func TestCheckUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(checking(addrA, addrB))
		r.network.BlackHole(addrA)
		stop := r.run(t)
		time.Sleep(time.Minute)
		for addr, want := range map[string]string{addrA: "unanswered: ", addrB: "closed: "} {
			if state, why := r.state(t, addr); state != "down" || !strings.HasPrefix(why, want) {
				t.Errorf("%s is %s: %s", addr, state, why)
			}
		}
		stop()
	})
}
