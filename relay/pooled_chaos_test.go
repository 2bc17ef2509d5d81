package relay_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Daemons close connections when they like, and clients leave when they like.
// Nobody waits for ever, no call runs twice unless it may, every client gets its
// own replies, and in the end nothing is left.
func TestPooledChaos(t *testing.T) {
	for _, idempotent := range []bool{false, true} {
		t.Run(fmt.Sprint("idempotent ", idempotent), func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) { chaos(t, tr, idempotent) })
		})
	}
}

func chaos(t *testing.T, tr transport, idempotent bool) {
	const clients, calls = 12, 60
	ledger := &pyrotest.Ledger{}
	daemons := []*pyrotest.Daemon{
		{Ledger: ledger, OnInvoke: answersAtRandom()}, {Ledger: ledger, OnInvoke: answersAtRandom()},
	}
	r := start(t, tr, setup{
		Call: true, Daemons: daemons,
		Cluster: func(c *backend.Config) { c.MaxConnections, c.RetryBudget = 3, 100 },
		Route:   func(r *router.Route) { r.Idempotent = idempotent },
	})
	done := make(chan struct{})
	var wreckers, workers sync.WaitGroup
	wreckers.Go(func() {
		rng := rand.New(rand.NewPCG(1, 1))
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			if conns := daemons[rng.IntN(2)].Conns(); len(conns) > 0 {
				if c := conns[len(conns)-1-rng.IntN(min(len(conns), 6))]; rng.IntN(2) == 0 {
					_ = c.Close()
				} else {
					_ = c.Reset()
				}
			}
		}
	})
	var mu sync.Mutex
	asked, unsent := map[string]bool{}, map[string]bool{}
	broken := 0
	for i := range clients {
		workers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 2))
			c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
			for n := range calls {
				id := fmt.Sprintf("%d-%d", i, n)
				mu.Lock()
				asked[id] = true
				mu.Unlock()
				data := pyrotest.CallData(id, []int{50, 5000, 200_000}[rng.IntN(3)])
				var err error
				switch rng.IntN(10) {
				case 0:
					err = c.Oneway(data)
				case 1: // it does not wait for the reply
					err = errors.Join(c.Send(c.InvokeMessage(data)), io.EOF)
				default:
					var reply pyrotest.Message
					switch reply, err = c.Call(data); {
					case err != nil:
					case reply.Head.Has(wire.Exception) && strings.Contains(string(reply.Data), "pyro-dispatch: "):
						mu.Lock()
						unsent[id] = true // each of its connections was closed before it was sent
						mu.Unlock()
					case pyrotest.CallID(reply) != id:
						t.Errorf("%s was answered with %s", id, pyrotest.CallID(reply))
					}
				}
				if err == nil {
					continue
				}
				if timeout := (interface{ Timeout() bool })(nil); errors.As(err, &timeout) && timeout.Timeout() {
					t.Errorf("%s: %v", id, err)
				}
				mu.Lock()
				broken++
				mu.Unlock()
				if rng.IntN(2) == 0 {
					_ = c.Reset()
				} else {
					_ = c.Close()
				}
				c = r.connect(pyrotest.Client{Dialect: dialects[i%2]})
			}
		})
	}
	workers.Wait()
	close(done)
	wreckers.Wait()
	for id, n := range ledger.All() {
		if !asked[id] || n > 1 && !idempotent || unsent[id] {
			t.Errorf("call %q ran %d times", id, n)
		}
	}
	r.waitRest()
	t.Logf("%d of %d calls were cut off, %d not sent", broken, clients*calls, len(unsent))
}

// answersAtRandom echoes, sometimes later.
func answersAtRandom() pyrotest.Script {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(3, 3))
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		mu.Lock()
		wait := time.Duration(rng.IntN(4)) * time.Millisecond
		mu.Unlock()
		if wait > 0 {
			c.Pause(wait)
		}
		pyrotest.Echo(c, m)
	}
}
