package backend

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// world is a cluster with daemons in all moods and clients of all kinds, to which
// anything may happen at any time.
type world struct {
	*rig
	t       *testing.T
	daemons map[string]*fate
	clients []*actor

	ended, gone atomic.Int64 // leases, and those of which the daemon has let go
}

// fate is a daemon, and what becomes of it.
type fate struct {
	threads threads
	moody   moody
	daemon  *pyrotest.Daemon
	held    chan struct{} // closed at the end: calls go on until then
}

// actor is a client that asks for a lease, or has one.
type actor struct {
	*client
	session bool
	ctx     context.Context
	cancel  context.CancelCauseFunc // not nil: it waits, or is about to be served

	mu    sync.Mutex
	lease *Lease
	wrote bool // a request, that the daemon works on
}

// newWorld makes one with the limits that n chooses, 0 the usual ones.
func newWorld(t *testing.T, n byte) *world {
	cfg := pooling(addrA, addrB, addrC)
	cfg.MaxConnections, cfg.NestedReserve, cfg.MaxPinned, cfg.MinIdle, cfg.Queue = 3, 1, 1, 1, 6
	switch n % 8 {
	case 1:
		cfg.MaxConnections = 1
	case 2:
		cfg.MaxConnections, cfg.NestedReserve = 2, 5
	case 3:
		cfg.MaxConnections, cfg.Balance = 0, LeastRequest
	case 4:
		cfg.Queue = 0
	case 5:
		cfg.Queue, cfg.MinIdle, cfg.Retries = 1, 0, 1
	case 6:
		cfg.MaxPinned, cfg.Balance = 0, Hash
	}
	cfg.GhostTimeout, cfg.MaxAge, cfg.IdleTimeout, cfg.HandshakeTTL = 10*time.Second, 30*time.Second, 20*time.Second, 15*time.Second
	cfg.CloseOnDown, cfg.SlowStart, cfg.PanicThreshold, cfg.MaxEjected = true, 5*time.Second, 25, 50
	cfg.Breaker = BreakerConfig{ConsecutiveFailures: 3, FailureRatio: 50, MinimumCalls: 10, Window: 10 * time.Second, Open: 2 * time.Second, Probes: 1}
	cfg.Outlier = health.OutlierConfig{ConsecutiveFailures: 4, Window: 10 * time.Second, Ejection: 3 * time.Second, MaxEjection: 10 * time.Second}
	cfg.Health = HealthConfig{Interval: 4 * time.Second, Timeout: time.Second, Rise: 1, Fall: 2, Serializer: wire.Serpent, AskServer: true}
	w := &world{rig: newRigWith(cfg), t: t, daemons: make(map[string]*fate)}
	for i, addr := range addrABCD {
		f := &fate{held: make(chan struct{})}
		f.threads.n = 2 + i
		f.daemon = f.threads.daemon()
		f.moody.be(f.daemon.OnConnect)
		f.daemon.OnConnect = func(c *pyrotest.DaemonConn, m pyrotest.Message) { (*f.moody.script.Load())(c, m) }
		f.daemon.OnInvoke = pyrotest.AfterSignal(f.held, pyrotest.Echo)
		w.daemon(t, addr, f.daemon)
		w.daemons[addr] = f
	}
	for i := range 8 {
		a := &actor{session: i >= 6}
		a.client = w.newClient(v502, fmt.Sprint(i%3))
		a.a.Nested = i%4 == 3
		if a.session {
			w.Leave(a.a.Handshake)
			a.a = &Attempt{Dialect: []wire.Dialect{v48, v502}[i%2]}
		}
		w.clients = append(w.clients, a)
	}
	return w
}

// want begins a search for a lease.
func (w *world) want(a *actor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lease != nil || a.cancel != nil {
		return
	}
	a.a.Again()
	if !a.session && a.a.Connect == nil {
		if l := w.TryLease(a.a); l != nil {
			a.lease = l
			return
		}
	}
	a.ctx, a.cancel = context.WithCancelCause(w.t.Context())
	ctx, cancel, search := a.ctx, a.cancel, a.a
	go func() {
		l, err := w.Acquire(ctx, search)
		a.mu.Lock()
		defer a.mu.Unlock()
		cancel(nil)
		if search != a.a { // given up
			if err == nil {
				l.Done(Cancelled)
			}
			return
		}
		a.cancel = nil
		if err == nil {
			a.lease, a.wrote = l, false
			a.a.Connect = nil
		}
	}()
}

// end ends a lease in a way that n chooses among those that there are.
func (w *world) end(a *actor, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.lease
	if l == nil {
		return
	}
	a.lease = nil
	w.ended.Add(1)
	l.OnGone(func() { w.gone.Add(1) })
	if a.session {
		outcomes := []Outcome{Served, Cancelled, Refused, Saturated, OtherDialect, Unanswered, Broken, Garbled, TimedOut, Abandoned, Excused}
		if n&1 == 0 {
			l.Answered(a.a.Dialect)
			l.Busy(n&2 == 0)
			if n&4 == 0 {
				l.Late()
			}
			adopt(l.Conn) // there is one who reads on
		}
		l.Done(outcomes[n>>1%len(outcomes)])
		return
	}
	outcomes := []Outcome{Served, Cancelled, Resting, Doubtful, Abandoned, Spent, Torn, Broken, Garbled, TimedOut, Excused}
	o := outcomes[n%len(outcomes)]
	switch o {
	case Resting:
		b := wire.AppendPing(a.invoke(wire.Oneway).Bytes(), a.d, wire.Serpent, 1)
		if _, err := l.Conn.Write(b); err != nil {
			o = Torn
		}
	case Doubtful:
		if _, err := l.Conn.Write(wire.AppendPing(nil, a.d, wire.Serpent, 1)); err != nil {
			o = Torn
		}
	case Abandoned, TimedOut:
		l.Conn.Write(a.invoke().Bytes())
	}
	l.Done(o)
}

// mood changes what a daemon does, or ends all that it has.
func (w *world) mood(addr string, n int) {
	f := w.daemons[addr]
	switch n % 8 {
	case 0, 1:
		f.moody.be(f.threads.daemon().OnConnect)
		w.network.Restore(addr)
	case 2:
		f.moody.be(pyrotest.Hangup)
	case 3:
		f.moody.be(pyrotest.Silence)
	case 4:
		f.moody.be(accept(fmt.Sprint("version", n)))
	case 5:
		f.moody.be(pyrotest.RejectConnect(pyrotest.NoFreeWorkers))
	case 6:
		w.network.Refuse(addr)
	case 7:
		for _, c := range f.daemon.Conns() {
			c.Reset()
		}
	}
}

// step does one thing, and lets all come to rest.
func (w *world) step(op, n byte) {
	if k := int(n) / 8; op%16 == 6 {
		time.Sleep([]time.Duration{0, time.Millisecond, 60 * time.Millisecond, time.Second, 6 * time.Second, 31 * time.Second}[k%6])
		synctest.Wait()
		if k%6 > 1 {
			w.nobodyForgotten()
		}
	}
	w.do(op, n)
	synctest.Wait()
	w.consistent(w.t)
}

// do does one thing.
func (w *world) do(op, n byte) {
	a := w.clients[int(n)%len(w.clients)]
	addr := addrABCD[int(n)%len(addrABCD)]
	k := int(n) / 8
	switch op % 16 {
	case 0, 1, 2:
		w.want(a)
	case 3, 4:
		w.end(a, k)
	case 5:
		a.mu.Lock()
		if a.cancel != nil {
			a.cancel(nil)
		}
		a.mu.Unlock()
	case 7:
		w.mood(addr, k)
	case 8:
		var list []Member
		for i, addr := range addrABCD {
			if k>>i&1 == 0 {
				list = append(list, Member{Address: Address{Network: "tcp", Addr: addr}, Weight: 1 + i})
			}
		}
		w.SetMembers(0, list)
	case 9:
		if n&128 == 0 {
			w.Drain(addr)
		} else {
			w.Undrain(addr)
		}
	case 10:
		if n&1 == 0 {
			w.Pause()
		} else {
			w.Resume()
		}
	case 11:
		a.mu.Lock()
		if l := a.lease; l != nil {
			switch k % 3 {
			case 0:
				l.Pin()
			case 1:
				a.a.Stay(l)
			case 2:
				l.OnDown(func() { w.Status() })
			}
		}
		a.mu.Unlock()
	case 12: // no time is left
		a.mu.Lock()
		if a.cancel != nil {
			a.cancel(ErrTooLate)
			a.a, a.cancel = w.Renew(a.a), nil
		}
		a.mu.Unlock()
	case 13:
		a.mu.Lock()
		if a.cancel == nil && a.lease == nil {
			a.a.Only = Address{}
			if k%3 > 0 {
				a.a.Only = Address{Network: "tcp", Addr: addrABCD[k%4]}
			}
		}
		a.mu.Unlock()
	case 14:
		most := k % 5
		w.lowered = w.lowered || most > 0 && (most < w.cfg.MaxConnections || w.cfg.MaxConnections == 0)
		w.Reconfigure(Balance(n%3), most, k/5%4, k%3)
	case 15:
		a.mu.Lock()
		if a.cancel == nil && a.lease == nil && !a.session {
			if a.a.Connect == nil && k%2 == 0 {
				a.a.Connect = a.a.Handshake.connect
			} else {
				a.a.Connect = nil
				w.Greet(a.a)
			}
			w.Blocked(a.a, func(*Endpoint, bool, int) bool { return true })
			w.Targets(nil, a.d)
		}
		a.mu.Unlock()
	}
}

// nobodyForgotten checks that nobody waits for long for whom there is something:
// whoever is not served when something becomes free is looked at every so often.
func (w *world) nobodyForgotten() {
	suspects := w.couldBeServed()
	if len(suspects) == 0 {
		return
	}
	time.Sleep(lookEvery + time.Millisecond)
	synctest.Wait()
	for q, e := range w.couldBeServed() {
		if suspects[q] != "" {
			w.t.Errorf("one waits in vain while it could know: %v: %+v", e, q.a)
		}
	}
}

// couldBeServed gives those who wait although there is an endpoint for them, or never
// will be.
func (w *world) couldBeServed() map[*waiter]string {
	w.lock()
	defer w.unlock()
	found := make(map[*waiter]string)
	for _, rank := range ranks {
		w.waiting.each(rank.i, 0, func(q *waiter) bool {
			switch e, later := w.choose(q.a, time.Now()); {
			case e != nil:
				found[q] = e.Address.Addr
			case !later:
				found[q] = "nothing"
			}
			return true
		})
	}
	return found
}

// finish ends all that is going on and checks that nothing is left.
func (w *world) finish(stop func()) {
	w.Resume()
	w.SetMembers(0, members(addrABCD...))
	for addr := range maps.Clone(w.daemons) {
		w.mood(addr, 0)
		w.Undrain(addr)
		close(w.daemons[addr].held)
	}
	time.Sleep(time.Minute) // beyond queue_timeout, ejections and all
	synctest.Wait()
	for i, a := range w.clients {
		a.mu.Lock()
		if a.cancel != nil {
			w.t.Errorf("client %d still waits", i)
		}
		a.mu.Unlock()
		w.end(a, 0)
		w.want(a)
	}
	synctest.Wait()
	for i, a := range w.clients {
		a.mu.Lock()
		cancelled := a.cancel
		a.mu.Unlock()
		if cancelled != nil { // for room: eight clients of nine slots, some of those for nested calls
			cancelled(nil)
			w.t.Logf("client %d had to wait at the end", i)
		}
	}
	synctest.Wait()
	for _, a := range w.clients {
		w.end(a, 0)
		if !a.session {
			a.leave()
		}
	}
	stop()
	time.Sleep(time.Minute)
	synctest.Wait()
	w.wantQuiet(w.t)
	if ended, gone := w.ended.Load(), w.gone.Load(); ended != gone {
		w.t.Errorf("%d leases, of which the daemons have let go of %d", ended, gone)
	}
	w.SetMembers(0, nil)
	w.wantMembers(w.t, "in the end", map[string]string{})
	if len(w.handshakes) > 0 || len(w.warming) > 0 {
		w.t.Errorf("%d handshakes, %d connections being opened are left", len(w.handshakes), len(w.warming))
	}
}

// FuzzCluster: whatever happens in whatever order, the accounts are right, nobody
// is forgotten, and in the end nothing is left.
func FuzzCluster(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		script := make([]byte, 200)
		for i := range script {
			script[i] = byte(rnd.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) {
			limits := byte(0)
			if len(script) > 0 {
				limits, script = script[0], script[1:]
			}
			w := newWorld(t, limits)
			stop := w.run(t)
			for pair := range slices.Chunk(script[:min(len(script), 1000)], 2) {
				if len(pair) == 2 && !t.Failed() {
					w.step(pair[0], pair[1])
				}
			}
			w.finish(stop)
		})
	})
}

// TestStorm does the same from many goroutines at a time, for the race detector.
func TestStorm(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, byte(seed))
			stop := w.run(t)
			var wg sync.WaitGroup
			for i, a := range w.clients {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, uint64(i)))
					for range 200 {
						w.want(a)
						op := []byte{0, 5, 11, 12, 13, 15}[rnd.IntN(6)]
						w.do(op, byte(8*rnd.IntN(32)+i))
						if rnd.IntN(3) == 0 {
							time.Sleep(time.Duration(rnd.IntN(int(time.Second))))
						}
						w.end(a, rnd.IntN(64))
					}
				})
			}
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, 99))
				for range 200 {
					time.Sleep(time.Duration(rnd.IntN(int(time.Second))))
					switch addr := addrABCD[rnd.IntN(4)]; rnd.IntN(7) {
					case 0:
						w.SetMembers(0, members(addrABCD[:1+rnd.IntN(4)]...))
					case 1:
						w.Drain(addr)
					case 2:
						w.Undrain(addr)
					case 3:
						w.Pause()
						time.Sleep(time.Millisecond)
						w.Resume()
					case 4:
						w.mood(addr, rnd.IntN(64))
					case 5:
						w.Status()
					case 6:
						w.do(14, byte(rnd.Uint32()))
					}
				}
			})
			wg.Wait()
			w.finish(stop)
		})
	}
}
