package relay_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// drain begins to stop the server, and waits until nobody is accepted.
func (r *rig) drain() {
	r.Helper()
	r.cancel()
	pyrotest.WaitFor(r, "nobody is accepted", func() bool {
		c, err := dialContext(r, r.addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	r.settle()
}

// Idle clients see an orderly end at once.
func TestDrainIdle(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{})
		var clients []*pyrotest.Client
		for i := range 20 {
			c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
			if i%3 == 0 {
				_, err := c.Call([]byte("data"))
				noError(t, err)
			}
			clients = append(clients, c)
		}
		began := time.Now()
		r.drain()
		for _, c := range clients {
			_, err := c.Next()
			wantError(t, "an idle client", err, io.EOF)
			noError(t, c.Close())
		}
		r.stop()
		if _, virtual := tr.(memory); virtual && time.Since(began) > time.Second {
			t.Errorf("drained after %v", time.Since(began))
		}
		if n := r.reasons()["drained"]; n < len(clients) {
			t.Errorf("ended by %v", r.reasons())
		}
	})
}

// Calls in flight are answered, and only then do their clients see the end.
// Nobody else is accepted.
func TestDrainCallsInFlight(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		release := make(chan struct{})
		r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{
			OnInvoke: pyrotest.AfterSignal(release, pyrotest.Echo),
			OnPing:   pyrotest.AfterSignal(release, pyrotest.Pong),
		}}})
		const clients = 10
		done := make(chan error)
		for i := range clients {
			c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
			go func() {
				var err error
				if i < 2 {
					err = c.Ping()
				} else {
					_, err = c.Call(pyrotest.CallData(fmt.Sprint(i), i*20_000))
				}
				if err == nil {
					if _, end := c.Next(); end != io.EOF {
						err = fmt.Errorf("after the reply: %w", end)
					}
				}
				done <- errors.Join(err, c.Close())
			}()
		}
		pyrotest.WaitFor(t, "all calls run", func() bool { return len(r.daemon().Ledger.All()) == clients-2 })
		r.waitValue(clients, "calls_in_flight")
		r.drain()
		if n := r.value("calls_in_flight"); n != clients {
			t.Errorf("%v calls are left in flight", n)
		}
		close(release)
		for range clients {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// Requests that have reached us when the drain begins are still carried out.
func TestDrainDelivers(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for round := range 5 {
			r := start(t, tr, setup{})
			const clients = 20
			var all []*pyrotest.Client
			for i := range clients {
				all = append(all, r.connect(pyrotest.Client{Dialect: dialects[i%2]}))
			}
			for i, c := range all {
				noError(t, c.Oneway(pyrotest.CallData(fmt.Sprint(i), 100+i*round*100)))
			}
			r.stopWith(all)
			for i := range clients {
				if n := r.daemon().Ledger.Times(fmt.Sprint(i)); n != 1 {
					t.Errorf("round %d: oneway call %d ran %d times", round, i, n)
				}
			}
		}
	})
}

// stopWith stops the server, while the clients do what real ones do: close once
// they see the end.
func (r *rig) stopWith(clients []*pyrotest.Client) {
	r.Helper()
	r.cancel()
	var closing sync.WaitGroup
	for _, c := range clients {
		closing.Go(func() {
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		})
	}
	r.stop()
	closing.Wait()
	for _, d := range r.setup.Daemons {
		pyrotest.WaitFor(r, "the daemons have read all", func() bool { return d.Open() == 0 })
	}
}

// Large messages that are on their way arrive whole.
func TestDrainBodies(t *testing.T) {
	const size = 8 << 20
	overAll(t, func(t *testing.T, tr transport) {
		script, sums := sumAndReply()
		r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{OnInvoke: script, Discard: true}}})
		c := r.connect(pyrotest.Client{Discard: true})
		m := c.InvokeMessage(nil)
		h := m.Head
		h.DataLen = size
		_, err := c.Write(wire.AppendHead(nil, h))
		noError(t, err)
		sent := make(chan error, 1)
		half := make(chan struct{})
		go func() {
			c := &tripwire{c: c, after: size / 2, tripped: half}
			sent <- pyrotest.WriteFiller(c, size)
		}()
		<-half
		r.drain()
		noError(t, <-sent)
		reply, err := c.Await(m)
		noError(t, err)
		if want := filler(t, size); <-sums != want || reply.CRC != want {
			t.Error("wrong checksums")
		}
		_, err = c.Next()
		wantError(t, "after the reply", err, io.EOF)
	})
}

// tripwire closes tripped once that many bytes have been written.
type tripwire struct {
	c       io.Writer
	after   int
	tripped chan struct{}
	once    sync.Once
}

func (w *tripwire) Write(b []byte) (int, error) {
	n, err := w.c.Write(b)
	if w.after -= n; w.after <= 0 {
		w.once.Do(func() { close(w.tripped) })
	}
	return n, err
}

// A reply that its client is slow to take is not cut.
func TestDrainDuringReply(t *testing.T) {
	for _, size := range []int{600, 1000, 10_000, 60_000, 70_000, 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			inBubble(t, &pyrotest.Network{Buffer: 500}, func(t *testing.T, tr transport) {
				r := start(t, tr, setup{
					Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.ReplySize(int64(size))}},
					Back:    memory{&pyrotest.Network{}},
				})
				c := r.connect(pyrotest.Client{})
				m := c.InvokeMessage([]byte("question"))
				noError(t, c.Send(m))
				tr.settle() // the reply is on its way, and stuck
				r.drain()
				time.Sleep(20 * time.Second)
				reply, err := c.Await(m)
				if err != nil || len(reply.Data) != size {
					t.Errorf("%d bytes of reply, %v", len(reply.Data), err)
				}
				if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
					t.Errorf("%d more bytes, %v", n, err)
				}
			})
		})
	}
}

// What has not ended at the drain timeout is cut off, and counted.
func TestDrainTimeout(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{
			Daemons:      []*pyrotest.Daemon{{OnInvoke: pyrotest.Silence}},
			DrainTimeout: 100 * time.Millisecond,
			Serve:        relay.ErrDrainTimeout,
		})
		var clients []*pyrotest.Client
		for i := range 6 {
			c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
			if i%3 > 0 {
				noError(t, c.Send(c.InvokeMessage([]byte("question"))))
			}
			clients = append(clients, c)
		}
		r.waitValue(4, "calls_in_flight")
		r.cancel()
		for i, c := range clients {
			if _, err := c.Next(); err == nil || errors.Is(err, pyrotest.ErrReply) {
				t.Errorf("client %d: %v", i, err)
			}
			noError(t, c.Close())
		}
		r.stop()
		if n := r.value("calls_total", "aborted"); n != 4 {
			t.Errorf("%v calls aborted", n)
		}
		if n := r.reasons(); n["aborted"] != 4 || n["drained"] < 2 {
			t.Errorf("ended by %v", n)
		}
		pyrotest.WaitFor(t, "the daemon's connections are closed", func() bool { return r.daemon().Open() == 0 })
	})
}

// The drain timeout is one for all listeners.
func TestDrainTimeoutOfTwo(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{
			Second:       true,
			Daemons:      []*pyrotest.Daemon{{OnInvoke: pyrotest.Silence}},
			DrainTimeout: 5 * time.Second,
			Serve:        relay.ErrDrainTimeout,
		})
		for range 3 {
			for _, a := range []net.Addr{r.addr, r.addr2} {
				c := r.dialTo(a, pyrotest.Client{})
				_, err := c.Connect("some.object")
				noError(t, err)
				noError(t, c.Send(c.InvokeMessage([]byte("question"))))
			}
		}
		tr.settle()
		began := time.Now()
		r.stop()
		wantAfter(t, "the end", began, 5*time.Second)
		for _, listener := range []string{"main", "second"} {
			if n := r.value("sessions_ended_total", listener, "aborted"); n != 3 {
				t.Errorf("%v sessions of listener %s were cut off", n, listener)
			}
		}
	})
}

// A server without clients stops at once, and one that never served anybody.
func TestStopWithoutClients(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		start(t, tr, setup{}).stop()
		r := start(t, tr, setup{})
		noError(t, r.connect(pyrotest.Client{}).Close())
		r.waitIdle()
		r.stop()
	})
}
