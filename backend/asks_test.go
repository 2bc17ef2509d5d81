package backend

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// asking is a cluster that asks what kind of server its endpoints are, with health
// checks or without.
func asking(checks bool, addresses ...string) Config {
	cfg := checking(addresses...)
	cfg.Health.AskServer = true
	if !checks {
		cfg.Health.Interval = 0
	}
	return cfg
}

// infos is a daemon that says what kind of server it is, and counts how often.
type infos struct {
	moody
	asked  atomic.Int32
	answer atomic.Pointer[pyrotest.Script]
}

func (i *infos) be(class string) {
	i.says(pyrotest.ReplyData([]byte("... Servertype: <Pyro5.svr.SocketServer_" + class + " object at 0x7f>")))
}

func (i *infos) says(s pyrotest.Script) { i.answer.Store(&s) }

func (i *infos) daemon() *pyrotest.Daemon {
	d := i.moody.daemon()
	d.OnInvoke = func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		if strings.Contains(string(m.Data), "info") {
			i.asked.Add(1)
			(*i.answer.Load())(c, m)
			return
		}
		pyrotest.Echo(c, m)
	}
	return d
}

// wantServer checks what is known of A, here and in the status, and how often it has
// been asked.
func (r *rig) wantServer(t *testing.T, when string, i *infos, want health.Server, asked int) {
	t.Helper()
	synctest.Wait()
	r.of(t, addrA, func(e *Endpoint) {
		if got := e.Server(); got != want {
			t.Errorf("%s: it is %q, want %q", when, got, want)
		}
	})
	for _, s := range r.Status().Endpoints {
		if s.Address == addrA && s.ServerType != want.String() {
			t.Errorf("%s: the status says %q, want %q", when, s.ServerType, want)
		}
	}
	if got := int(i.asked.Load()); got != asked {
		t.Errorf("%s: asked %d times, want %d", when, got, asked)
	}
}

// bothWays runs a test with health checks and without.
func bothWays(t *testing.T, f func(t *testing.T, checks bool)) {
	for _, checks := range []bool{true, false} {
		t.Run(fmt.Sprintf("checks %v", checks), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, checks) })
		})
	}
}

// TestAsked: each daemon is asked within a second and then never again, also one that
// is added, and asked anew where it may be another.
func TestAsked(t *testing.T) {
	bothWays(t, func(t *testing.T, checks bool) {
		r := newRigWith(asking(checks, addrB))
		r.daemon(t, addrB, &pyrotest.Daemon{})
		var i infos
		d := i.daemon()
		i.be("Multiplex")
		r.daemon(t, addrA, d)
		stop := r.run(t)
		time.Sleep(5 * time.Second)
		r.SetMembers(0, members(addrA, addrB))
		time.Sleep(time.Second)
		r.wantServer(t, "added", &i, health.MultiplexServer, 1)
		i.be("Threadpool")
		for range 100 {
			r.acquire(t, nil).Done(Served)
			time.Sleep(time.Second)
		}
		r.wantServer(t, "later", &i, health.MultiplexServer, 1)

		r.network.Refuse(addrA) // it is being restarted, as a client notices
		for range 4 {
			r.acquire(t, nil).Done(Served)
		}
		r.wantServer(t, "gone", &i, health.UnknownServer, 1)
		r.network.Restore(addrA)
		time.Sleep(15 * time.Second)
		r.wantServer(t, "back", &i, health.ThreadServer, 2)
		time.Sleep(time.Minute)
		r.wantServer(t, "later again", &i, health.ThreadServer, 2)
		stop()
	})
}

// TestAskedSoon: the first question does not wait for the interval.
func TestAskedSoon(t *testing.T) {
	bothWays(t, func(t *testing.T, checks bool) {
		cfg := asking(checks, addrA)
		if checks {
			cfg.Health.Interval = time.Hour
		}
		r := newRigWith(cfg)
		var i infos
		i.be("Threadpool")
		r.daemon(t, addrA, i.daemon())
		defer r.run(t)()
		time.Sleep(time.Second)
		r.wantServer(t, "a second later", &i, health.ThreadServer, 1)
	})
}

// TestAskedInVain: a daemon that says nothing is asked again some time, one that says
// something else is not, and either is as well as before.
func TestAskedInVain(t *testing.T) {
	tests := []struct {
		name  string
		says  pyrotest.Script
		again bool
	}{
		{"exception", pyrotest.RaiseException("SocketServer_Multiplex"), false},
		{"another class", pyrotest.ReplyData([]byte("SocketServer_Async")), false},
		{"silence", pyrotest.Silence, true},
		{"end", pyrotest.Hangup, true},
		{"garbage", pyrotest.Garbage([]byte("SocketServer_Multiplex, and what is not Pyro at all")), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, checks bool) {
				r := newRigWith(asking(checks, addrA))
				var i infos
				i.says(test.says)
				r.daemon(t, addrA, i.daemon())
				defer r.run(t)()
				time.Sleep(2 * time.Minute)
				n := int(i.asked.Load())
				if test.again && (n < 5 || n > 15) || !test.again && n != 1 {
					t.Errorf("asked %d times in two minutes", n)
				}
				r.wantServer(t, "in vain", &i, health.UnknownServer, n)
				if state, why := r.state(t, addrA); state != "up" {
					t.Errorf("it is %s: %s", state, why)
				}
				if !test.again {
					return
				}
				i.be("Multiplex")
				time.Sleep(15 * time.Second)
				r.wantServer(t, "at last", &i, health.MultiplexServer, n+1)
			})
		})
	}
}

// TestAskedWhenSeen: a daemon that could not be asked is asked as soon as a client has
// been there, and not by each client that comes.
func TestAskedWhenSeen(t *testing.T) {
	for _, pooled := range []bool{true, false} {
		bothWays(t, func(t *testing.T, checks bool) {
			r := newRigWith(asking(checks, addrA))
			var i infos
			i.says(pyrotest.Hangup)
			r.network.Refuse(addrA)
			r.daemon(t, addrA, i.daemon())
			defer r.run(t)()
			time.Sleep(time.Second) // asked in vain
			r.network.Restore(addrA)
			began := time.Now()
			for n := range 50 {
				if pooled {
					c := r.newClient(v502, fmt.Sprint(n)) // each on a connection of its own
					if err := c.shake(t.Context()); err != nil {
						t.Fatal(err)
					}
					c.leave()
				} else {
					l := r.acquire(t, nil)
					l.Answered(v502)
					l.Done(Served)
				}
				synctest.Wait()
				if n == 0 {
					r.wantServer(t, "seen", &i, health.UnknownServer, 1)
				}
			}
			if took := time.Since(began); took != 0 {
				t.Fatalf("took %v", took)
			}
			r.wantServer(t, "seen often", &i, health.UnknownServer, 1)
			if checks {
				if n := r.samples(t, "health_checks_total", "endpoint")[addrA]; n > 2 {
					t.Errorf("checked %v times", n)
				}
			}
		})
	}
}

// TestAskedInAnotherLife: what a daemon says that has gone meanwhile is not taken for
// what its successor is.
func TestAskedInAnotherLife(t *testing.T) {
	bothWays(t, func(t *testing.T, checks bool) {
		r := newRigWith(asking(checks, addrA))
		var i infos
		answer := make(chan struct{})
		i.says(pyrotest.AfterSignal(answer, pyrotest.ReplyData([]byte("SocketServer_Threadpool"))))
		r.daemon(t, addrA, i.daemon())
		defer r.run(t)()
		time.Sleep(time.Second)
		r.wantServer(t, "asked", &i, health.UnknownServer, 1)
		r.lock()
		r.members[0].forget()
		r.unlock()
		i.be("Multiplex")
		close(answer) // within the time that a check has
		r.wantServer(t, "answered", &i, health.UnknownServer, 1)
		time.Sleep(15 * time.Second)
		r.wantServer(t, "asked anew", &i, health.MultiplexServer, 2)
	})
}

// TestAskedInItsDialect: the question is in the dialect that the daemon speaks, which
// may have to be learnt first, and in the serializer of the checks.
func TestAskedInItsDialect(t *testing.T) {
	for _, d := range []wire.Dialect{v48, v502} {
		for _, s := range []wire.Serializer{wire.Serpent, wire.JSON, wire.Marshal, wire.Msgpack} {
			bothWays(t, func(t *testing.T, checks bool) {
				cfg := asking(checks, addrA)
				cfg.Health.Serializer = s
				r := newRigWith(cfg)
				var i infos
				i.be("Multiplex")
				daemon := i.daemon()
				daemon.Dialect = d
				r.daemon(t, addrA, daemon)
				defer r.run(t)()
				time.Sleep(time.Second)
				r.wantServer(t, fmt.Sprint(d, s), &i, health.MultiplexServer, 1)
				conns := daemon.Conns()
				if got := conns[len(conns)-1].Connect.Head.Serializer(); got != s {
					t.Errorf("%v: asked in %v, want %v", d, got, s)
				}
			})
		}
	}
}
