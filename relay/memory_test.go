package relay_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// pending is a client with a request of which only the beginning was sent.
type pending struct {
	*pyrotest.Client
	m pyrotest.Message
}

const begun = 1000 // bytes that pending clients have sent

// memoryFor is a BufferMemory that n such requests fit in, and no more. (A
// quarter of it is for handshakes.)
func memoryFor(n, size int64) int64 { return (n*(size+100) + 1000) * 4 / 3 }

func (r *rig) pending(id string, size int) pending {
	r.Helper()
	c := r.connect(pyrotest.Client{})
	p := pending{c, c.InvokeMessage(pyrotest.CallData(id, size))}
	_, err := c.Write(p.m.Bytes()[:begun])
	noError(r, err)
	return p
}

func (p pending) complete() error {
	if _, err := p.Write(p.m.Bytes()[begun:]); err != nil {
		return err
	}
	_, err := p.Await(p.m)
	return err
}

// watchMemory fails the test where more buffer memory is in use than there may
// be. Its result ends it.
func (r *rig) watchMemory() (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(r.pace())
		defer ticker.Stop()
		for {
			if n := r.value("buffer_memory_bytes"); n > float64(r.setup.BufferMemory) || n < 0 {
				r.Errorf("%v bytes of buffer memory are in use", n)
				return
			}
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
		}
	}()
	return func() { close(stop); <-done }
}

// Clients with incomplete requests share the buffer memory: where it is used
// up the others wait, and go on when it is free again. Complete requests that
// need none pass by.
func TestBufferMemory(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		const size, fit, clients = 60_000, 4, 16
		r := start(t, tr, setup{BufferMemory: memoryFor(fit, size)})
		if n := r.value("buffer_memory_limit_bytes"); n != float64(r.setup.BufferMemory) {
			t.Errorf("the limit is shown as %v", n)
		}
		end := r.watchMemory()
		var waiting []pending
		for i := range clients {
			waiting = append(waiting, r.pending(fmt.Sprint(i), size))
		}
		r.waitValue(clients-fit, "buffer_memory_waits_total")
		b := r.bystander(pyrotest.Client{})
		replied := make(chan error)
		for _, p := range waiting {
			go func() { replied <- p.complete() }()
		}
		for range clients {
			if err := <-replied; err != nil {
				t.Error(err)
			}
		}
		b.end()
		end()
		if n := r.value("buffer_memory_bytes"); n != 0 {
			t.Errorf("%v bytes are in use at rest", n)
		}
		for i := range clients {
			if n := r.daemon().Ledger.Times(fmt.Sprint(i)); n != 1 {
				t.Errorf("call %d ran %d times", i, n)
			}
		}
	})
}

// Clients that go give theirs back, while they wait for it, too.
func TestBufferMemoryOfTheGone(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		const size, fit, clients = 60_000, 2, 8
		r := start(t, tr, setup{BufferMemory: memoryFor(fit, size)})
		for i, goodbye := range goodbyes {
			var all []pending
			for range clients {
				all = append(all, r.pending("never sent", size))
			}
			r.waitValue(float64((i+1)*(clients-fit)+i), "buffer_memory_waits_total")
			last := r.pending(goodbye.name, size)
			r.waitValue(float64((i+1)*(clients-fit+1)), "buffer_memory_waits_total")
			for _, p := range all {
				noError(t, goodbye.say(p.Client))
			}
			noError(t, last.complete())
			noError(t, last.Close())
			r.waitIdle()
			if n := r.value("buffer_memory_bytes"); n != 0 {
				t.Errorf("after %s %v bytes are in use", goodbye.name, n)
			}
		}
	})
}

// Large handshakes have their own part of the memory, and take nothing from
// requests. What strangers have made us keep stays within it, but for what was
// read at once.
func TestBufferMemoryOfHandshakes(t *testing.T) {
	inBubble(t, &pyrotest.Network{Buffer: 1000}, func(t *testing.T, tr transport) {
		const share, clients = 250_000, 40
		r := start(t, tr, setup{BufferMemory: 4 * share})
		end := r.watchMemory()
		b := r.bystander(pyrotest.Client{})
		var sent atomic.Int64
		var crowd []*pyrotest.Client
		var writing sync.WaitGroup
		turns := make([]chan struct{}, clients)
		for i := range clients {
			c := r.dial(pyrotest.Client{Dialect: dialects[i%2], Handshake: strings.Repeat("x", 110_000)})
			m := c.ConnectMessage("some.object").Bytes()
			turns[i] = make(chan struct{}, 100)
			writing.Go(func() {
				for range turns[i] {
					if _, err := c.Write(m[:1000]); err != nil {
						return // closed, or cut off
					}
					m = m[1000:]
					sent.Add(1000)
				}
			})
			crowd = append(crowd, c)
		}
		// In step, each a little at a time: nobody is first to take all.
		for range cap(turns[0]) {
			for _, turn := range turns {
				turn <- struct{}{}
				tr.settle()
			}
		}
		if held := sent.Load(); held > share+clients*(16<<10+1000) {
			t.Errorf("%d bytes are kept for handshakes, of which %d may be", held, share)
		}
		p := r.pending("a request", 60_000)
		noError(t, p.complete())
		noError(t, p.Close())
		for i, c := range crowd {
			noError(t, c.Close())
			close(turns[i])
		}
		writing.Wait()
		b.end()
		end()
		r.waitIdle()
		if n := r.value("buffer_memory_bytes"); n != 0 {
			t.Errorf("%v bytes are in use at rest", n)
		}
	})
}

// Large handshakes wait for each other where there is no room for all at once.
func TestLargeHandshakes(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{BufferMemory: 4 * 500_000})
		end := r.watchMemory()
		inNumbers(30, func(i int) {
			c := r.dial(pyrotest.Client{Dialect: dialects[i%2], Handshake: strings.Repeat("x", 220_000)})
			_, err := c.Connect("some.object")
			if err == nil {
				_, err = c.Call([]byte("data"))
			}
			if err = errors.Join(err, c.Close()); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
		end()
		r.waitIdle()
	})
}

// Those that hold memory and do not go on lose it at request_timeout.
func TestBufferMemoryTimesOut(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		const size, fit = 60_000, 2
		r := start(t, tr, setup{BufferMemory: memoryFor(fit, size)})
		end := r.watchMemory()
		var idle []pending
		for range fit {
			idle = append(idle, r.pending("never sent", size))
		}
		time.Sleep(20 * time.Second)
		began := time.Now()
		later := []pending{r.pending("one", size), r.pending("two", size)}
		tr.settle()
		for _, p := range later {
			noError(t, p.complete())
		}
		// 30 s after they began, the first ones are told, and have the linger
		// time to go.
		if took := time.Since(began); took < 10*time.Second || took > 13*time.Second {
			t.Errorf("the memory was free after %v", took)
		}
		for _, p := range idle {
			_, err := p.Next()
			wantError(t, "a request that never came", err, io.EOF)
		}
		end()
		r.stop()
		if n := r.reasons()["request_timeout"]; n != fit {
			t.Errorf("ended by %v", r.reasons())
		}
	})
}

// Drain does not wait for requests that have not come, nor for memory for them.
func TestBufferMemoryDrains(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		const size, fit = 60_000, 2
		r := start(t, tr, setup{BufferMemory: memoryFor(fit, size)})
		for range 3 * fit {
			r.pending("never sent", size)
		}
		r.waitValue(2*fit, "buffer_memory_waits_total")
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("drained after %v", took)
		}
	})
}

// What pipelining clients have sent ahead is charged as well.
func TestBufferMemoryOfPipelines(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		release := make(chan struct{})
		r := start(t, tr, setup{
			BufferMemory: 64 << 10,
			Env:          func(e *router.Env) { e.Limits.StoreAndForward = 32 << 10 },
			Daemons:      []*pyrotest.Daemon{{OnInvoke: pyrotest.AfterSignal(release, pyrotest.Echo)}},
		})
		end := r.watchMemory()
		const clients, calls = 12, 12
		done := make(chan error)
		for i := range clients {
			c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
			var stream []byte
			var requests []pyrotest.Message
			for k := range calls {
				m := c.InvokeMessage(pyrotest.CallData(fmt.Sprintf("%d %d", i, k), 3000))
				requests = append(requests, m)
				stream = append(stream, m.Bytes()...)
			}
			_, err := c.Write(stream)
			noError(t, err)
			go func() {
				for _, m := range requests {
					if _, err := c.Await(m); err != nil {
						done <- fmt.Errorf("client %d: %w", i, err)
						return
					}
				}
				done <- nil
			}()
		}
		r.waitValue(4*clients, "calls_in_flight") // the most that are sent ahead
		close(release)
		for range clients {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		end()
	})
}
