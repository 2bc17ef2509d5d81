package relay_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// drain begins to stop the server, and waits until that is known.
func (r *rig) drain() {
	r.Helper()
	r.cancel()
	pyrotest.WaitFor(r, "draining", func() bool { return r.logs.FilterMessage("draining").Len() > 0 })
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
		if n := r.reasons()["drained"]; n != len(clients) {
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
		pyrotest.WaitFor(t, "nobody is accepted", func() bool {
			c, err := dialContext(tr, r.addr)
			if err == nil {
				c.Close()
			}
			return err != nil
		})
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

// Clients that have no endpoint yet are refused; one that is being greeted is
// let in, and then out.
func TestDrainHandshakes(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			release := make(chan struct{})
			r := start(t, tr, setup{Daemons: []*pyrotest.Daemon{{OnConnect: pyrotest.AfterSignal(release, pyrotest.AcceptConnect)}}})
			silent := r.dial(pyrotest.Client{Dialect: d})
			half := r.dial(pyrotest.Client{Dialect: d})
			_, err := half.Write(half.ConnectMessage("some.object").Bytes()[:50])
			noError(t, err)
			greeted := r.dial(pyrotest.Client{Dialect: d})
			noError(t, greeted.Send(greeted.ConnectMessage("some.object")))
			r.waitValue(3, "sessions")
			pyrotest.WaitFor(t, "the CONNECT is on its way", func() bool { return len(r.daemon().Conns()) == 1 })
			r.drain()
			for _, c := range []*pyrotest.Client{silent, half} {
				m, err := c.Next()
				noError(t, err)
				if m.Head.Type != wire.ConnectFail || !strings.Contains(string(m.Data), "pyro-dispatch is shutting down") {
					t.Errorf("answered with %+v, %q", m.Head, m.Data)
				}
				_, err = c.Next()
				wantError(t, "after the refusal", err, io.EOF)
				noError(t, c.Close())
			}
			close(release)
			m, err := greeted.Next()
			noError(t, err)
			if m.Head.Type != wire.ConnectOK {
				t.Errorf("answered with %+v", m.Head)
			}
			_, err = greeted.Next()
			wantError(t, "after CONNECTOK", err, io.EOF)
			noError(t, greeted.Close())
			r.stop()
			if n := r.reasons()["drained"]; n != 3 {
				t.Errorf("ended by %v", r.reasons())
			}
		}
	})
}

func TestDrainWhileAcquiring(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		l := tr.listen(t)
		t.Cleanup(func() { l.Close() })
		tr.(memory).BlackHole(l.Addr().String())
		r := start(t, tr, setup{Endpoints: append(setup{}.Endpoints, l.Addr())})
		c := r.dial(pyrotest.Client{Dialect: wire.V48, Serializer: wire.Marshal})
		m := c.ConnectMessage("some.object")
		m.Head.Seq = 9
		noError(t, c.Send(m))
		tr.settle()
		began := time.Now()
		r.drain()
		reply, err := c.Next()
		noError(t, err)
		if h := reply.Head; h.Type != wire.ConnectFail || h.Dialect != wire.V48 || h.Seq != 9 || h.Serializer() != wire.Marshal {
			t.Errorf("answered with %+v", h)
		}
		c.Close()
		r.stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("drained after %v", took)
		}
	})
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
		if n := r.reasons(); n["aborted"] != 4 || n["drained"] != 2 {
			t.Errorf("ended by %v", n)
		}
		pyrotest.WaitFor(t, "the daemon's connections are closed", func() bool { return r.daemon().Open() == 0 })
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
