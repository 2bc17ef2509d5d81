package backend

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// threads makes a daemon's script for CONNECTs as a pool of n threads would
// answer them: a connection holds one until the daemon has noticed its end, and
// one too many is refused. lag is how long a thread takes to be free again.
type threads struct {
	n       int
	lag     time.Duration
	taken   atomic.Int32
	most    atomic.Int32
	refused atomic.Int32
}

func (p *threads) daemon() *pyrotest.Daemon {
	refuse := pyrotest.RejectConnect(pyrotest.NoFreeWorkers)
	return &pyrotest.Daemon{OnConnect: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		if n := p.taken.Add(1); int(n) > p.n {
			p.taken.Add(-1)
			p.refused.Add(1)
			refuse(c, m)
			return
		} else {
			p.most.Store(max(p.most.Load(), n))
		}
		go func() {
			<-c.Ended()
			time.AfterFunc(p.lag, func() { p.taken.Add(-1) })
		}()
		pyrotest.AcceptConnect(c, m)
	}}
}

// TestThousandHandshakes: a thousand clients, all with CONNECTs of their own, are
// all served by a daemon of four threads, whether that is known beforehand or not.
func TestThousandHandshakes(t *testing.T) {
	const clients = 1000
	for _, max := range []int{4, 32} {
		for _, lag := range []time.Duration{0, 3 * time.Millisecond} {
			t.Run(fmt.Sprintf("max_connections %d, lag %v", max, lag), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg := pooling(addrA)
					cfg.MaxConnections, cfg.NestedReserve = max, 1
					cfg.Breaker = BreakerConfig{ConsecutiveFailures: 1, Open: time.Minute}
					r := newRigWith(cfg)
					pool := &threads{n: 4, lag: lag}
					d := pool.daemon()
					d.OnInvoke = pyrotest.After(5*time.Millisecond, pyrotest.Echo)
					r.daemon(t, addrA, d)
					began := time.Now()
					var failed atomic.Int32
					var wg sync.WaitGroup
					for i := range clients {
						wg.Go(func() {
							c := r.newClient(v502, fmt.Sprint(i))
							defer c.leave()
							if err := c.shake(t.Context()); err != nil {
								failed.Add(1)
								t.Log(err)
								return
							}
							for range 2 {
								if _, err := c.call(t.Context()); err != nil {
									failed.Add(1)
									t.Log(err)
								}
							}
						})
					}
					wg.Wait()
					if n := failed.Load(); n > 0 {
						t.Errorf("%d of %d failed", n, clients)
					}
					t.Logf("took %v, %d refused", time.Since(began), pool.refused.Load())
					if took := time.Since(began); took > 30*time.Second {
						t.Errorf("took %v", took)
					}
					if n := pool.refused.Load(); n > clients/5 {
						t.Errorf("the daemon had to refuse %d", n)
					}
					if s := r.Status().Endpoints[0]; s.Breaker != "closed" {
						t.Errorf("the breaker is %s", s.Breaker)
					}
					time.Sleep(time.Second)
					r.wantQuiet(t)
				})
			})
		}
	}
}

// TestMoreThreads: a daemon that was full of others' connections is used as far
// as it can be once those have gone, and soon.
func TestMoreThreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA)
		cfg.MaxConnections, cfg.NestedReserve = 32, 1
		r := newRigWith(cfg)
		pool := &threads{n: 20}
		pool.taken.Store(18) // by others
		d := pool.daemon()
		d.OnInvoke = pyrotest.After(100*time.Millisecond, pyrotest.Echo)
		r.daemon(t, addrA, d)
		var over atomic.Bool
		var wg sync.WaitGroup
		for range 15 {
			c := r.connected(t, "x")
			wg.Go(func() {
				for !over.Load() {
					if _, err := c.call(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		at := func(want int) {
			t.Helper()
			synctest.Wait()
			r.of(t, addrA, func(e *Endpoint) {
				if e.active != want {
					t.Errorf("%d calls under way, want %d", e.active, want)
				}
			})
			r.consistent(t)
		}
		time.Sleep(1050 * time.Millisecond)
		at(2 - 1) // one is kept for nested calls
		pool.taken.Add(-18)
		time.Sleep(2 * time.Second)
		at(15)
		over.Store(true)
		wg.Wait()
		r.wantQuiet(t)
	})
}

// TestFullElsewhere: a client that a full daemon has refused goes to the next
// endpoint, and waits where all are full. Neither is a failure of anybody.
func TestFullElsewhere(t *testing.T) {
	for _, mode := range []string{"call", "session"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := pooling(addrA, addrB)
				cfg.MaxConnections = 0
				cfg.Breaker = BreakerConfig{ConsecutiveFailures: 1, Open: time.Minute}
				cfg.Outlier.ConsecutiveFailures, cfg.Outlier.Ejection, cfg.MaxEjected = 1, time.Minute, 100
				r := newRigWith(cfg)
				full, other := &threads{n: 0}, &threads{n: 2}
				r.daemon(t, addrA, full.daemon())
				r.daemon(t, addrB, other.daemon())

				var leases []*Lease
				take := func() (*Lease, error) {
					if mode == "session" {
						return r.session(t)
					}
					return r.connectedLater().lease(t.Context())
				}
				for range 2 {
					l, err := take()
					if err != nil {
						t.Fatal(err)
					}
					if got := l.Endpoint.Address.Addr; got != addrB {
						t.Errorf("got a lease of %s", got)
					}
					leases = append(leases, l)
				}
				if full.refused.Load() == 0 {
					t.Error("the full one was never asked")
				}
				// Both are full now. The third one waits for the first.
				time.AfterFunc(10*time.Second, func() { leases[0].Done(Spent) })
				began := time.Now()
				l, err := take()
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < 10*time.Second || took > 11*time.Second {
					t.Errorf("waited %v", took)
				}
				l.Done(Spent)
				leases[1].Done(Spent)
				// And nobody has the other's: then it is queue_timeout.
				synctest.Wait()
				other.taken.Store(2)
				began = time.Now()
				if _, err := take(); err != ErrQueueTimeout {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took < 30*time.Second || took > 31*time.Second {
					t.Errorf("gave up after %v", took)
				}
				for _, s := range r.Status().Endpoints {
					if s.Breaker != "closed" || s.State == "ejected" {
						t.Errorf("%s: breaker %s, %s", s.Address, s.Breaker, s.State)
					}
				}
				if failures := r.failures(t); len(failures) > 0 {
					t.Errorf("counted %v", failures)
				}
				if n := r.samples(t, "endpoint_saturated_total", "endpoint")[addrA]; n == 0 {
					t.Error("the refusals were not counted")
				}
				r.wantQuiet(t)
			})
		})
	}
}

// connectedLater is a client that has been told an answer without a daemon, so
// that its first call opens a connection.
func (r *rig) connectedLater() *client {
	c := r.newClient(v502, "x")
	c.a.Connect = nil
	return c
}

// session is a client's way to an endpoint in mode session.
func (r *rig) session(t *testing.T) (*Lease, error) {
	t.Helper()
	a := &Attempt{Dialect: v502}
	for {
		l, err := r.Acquire(t.Context(), a)
		if err != nil {
			return nil, err
		}
		client := pyrotest.NewClient(l.Conn, pyrotest.Client{Dialect: v502})
		answer, err := client.Connect("x")
		switch {
		case err == nil:
			l.Answered(v502)
			return l, nil
		case answer.Head.Type == wire.ConnectFail && wire.Saturated(answer.Data):
			l.Done(Saturated)
		default:
			l.Done(Broken)
		}
	}
}

// TestPlaceInLine: one that a full daemon refuses does not go to the end of the
// queue, nor out of it where that is full.
func TestPlaceInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA)
		cfg.MaxConnections, cfg.Queue = 0, 3
		r := newRigWith(cfg)
		pool := &threads{n: 1}
		pool.taken.Store(1)
		r.daemon(t, addrA, pool.daemon())
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 3 { // as many as may wait
			wg.Go(func() {
				l, err := r.session(t)
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				l.Done(Served)
			})
			time.Sleep(time.Second)
			synctest.Wait()
		}
		time.Sleep(5 * time.Second)
		pool.taken.Add(-1)
		wg.Wait()
		if diff := cmp.Diff([]int{0, 1, 2}, order); diff != "" {
			t.Errorf("served in another order than they came (-want +got):\n%s", diff)
		}
		r.wantQuiet(t)
	})
}

// TestFilled: what a refusal teaches about a daemon, and what growth does.
func TestFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrA)
		cfg.MaxConnections = 8
		r := newRigWith(cfg)
		e := r.members[0]
		now := time.Now()
		e.conns, e.active = 4, 4
		for range 20 { // they were opened together
			r.filled(e, false)
		}
		if e.full.ceiling != 4 || e.full.backoff != 5*time.Millisecond || !e.full.settle.Equal(now.Add(5*time.Millisecond)) {
			t.Errorf("after a burst: %+v", e.full)
		}
		at := func(wait time.Duration) (grow bool) {
			time.Sleep(wait)
			return r.mayGrow(e, true, time.Now())
		}
		if at(4*time.Millisecond) || !at(time.Millisecond) {
			t.Error("it may not grow just when it is due")
		}
		e.opening = 1
		if at(0) {
			t.Error("it may grow while a connection is being opened")
		}
		e.opening, e.conns = 0, 5
		if at(0) {
			t.Error("it may grow by two")
		}
		e.conns = 4
		r.filled(e, true)
		if e.full.ceiling != 4 || e.full.lag != time.Millisecond || e.full.backoff != 5*time.Millisecond {
			t.Errorf("after a replacement was refused: %+v", e.full)
		}
		for _, want := range []time.Duration{10, 20, 40, 80, 160, 320, 500, 500} {
			time.Sleep(time.Second)
			r.filled(e, false)
			if e.full.backoff != want*time.Millisecond {
				t.Errorf("backoff is %v, want %v ms", e.full.backoff, int64(want))
			}
		}
		r.hadRoom(e, &grant{more: true})
		if e.full.ceiling != 5 || e.full.backoff != 0 || at(0) {
			t.Errorf("after growth: %+v", e.full)
		}
		e.full.ceiling = 7
		r.hadRoom(e, &grant{more: true})
		if e.full.known {
			t.Errorf("at max_connections: %+v", e.full)
		}
		e.conns, e.active = 0, 0
	})
}

// TestFilledWhileWaiting: those who wait are looked at as soon as a daemon that has
// just been full may be asked again.
func TestFilledWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(waiting(addrA, addrB))
		r.open(t, addrA, addrB)
		first, second := r.acquire(t, nil), r.acquire(t, nil)
		q := newLine(t, r)
		q.join(t.Context(), "a", &Attempt{Dialect: v502})
		began := time.Now()
		first.Done(Saturated) // somebody else has its thread, for a moment
		synctest.Wait()
		time.Sleep(10 * time.Millisecond)
		q.want("a")
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("after %v", took)
		}
		q.doneAll(1)
		second.Done(Served)
		r.wantQuiet(t)
	})
}
