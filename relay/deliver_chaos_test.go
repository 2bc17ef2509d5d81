package relay_test

import (
	"bytes"
	"fmt"
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

// Listeners do what they like, and clients leave when they like. Each call ends, and is
// answered with what was asked for; no listener hears a blob twice; nothing is left.
func TestDeliveryChaos(t *testing.T) {
	for _, to := range []router.To{router.ToOne, router.ToAll, router.ToFirst} {
		for _, quorum := range []int{0, 2, -1} {
			if quorum != 0 && to != router.ToAll {
				continue
			}
			t.Run(fmt.Sprint("to ", to, ", quorum ", quorum), func(t *testing.T) {
				overAll(t, func(t *testing.T, tr transport) { deliveryChaos(t, tr, to, quorum) })
			})
		}
	}
}

func deliveryChaos(t *testing.T, tr transport, to router.To, quorum int) {
	const clients, calls, listeners = 6, 20, 3
	var daemons []*pyrotest.Daemon
	var ledgers []*pyrotest.Ledger
	for i := range listeners {
		ledger := &pyrotest.Ledger{}
		ledgers = append(ledgers, ledger)
		daemons = append(daemons, &pyrotest.Daemon{
			Ledger: ledger, OnInvoke: listensAtRandom(uint64(i)), OnConnect: greetsAtRandom(uint64(i)),
		})
	}
	r := start(t, tr, setup{
		Daemons: daemons, Call: true,
		Route: func(r *router.Route) { r.Answer = &router.Members{Methods: []string{"process_blob"}} },
		Cluster: func(c *backend.Config) {
			c.MaxConnections, c.GhostTimeout, c.Retries = 3, 600*time.Millisecond, 2
		},
		Calls: blobRoute(func(r *router.Route) {
			r.Deliver.To, r.Deliver.Quorum = to, quorum
			r.Timeouts.Call, r.Policy.TimeoutError = 400*time.Millisecond, router.BuiltinTimeout
		}),
	})
	var workers sync.WaitGroup
	for i := range clients {
		workers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 5))
			c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
			for n := range calls {
				id := fmt.Sprintf("%d-%d", i, n)
				m := blobCall(c, "topic", pyrotest.CallData(id, []int{50, 5000, 200_000}[rng.IntN(3)]))
				// A listener's second answer is known as such only where no other call has the
				// number: those that come with a wrong one are odd.
				m.Head.Seq = uint16(2 * (i*calls + n))
				leaves := true
				switch rng.IntN(8) {
				case 0:
					m.Head.Flags |= m.Head.Dialect.Bit(wire.Oneway)
					noError(t, c.Send(m))
					leaves = rng.IntN(2) == 0
				case 1:
					noError(t, c.Send(m))
				default:
					reply, err := c.Do(m)
					if err != nil {
						t.Errorf("%s: %v", id, err)
						break
					}
					ours := reply.Head.Has(wire.Exception) || bytes.HasSuffix(reply.Data, []byte("None"))
					if !ours && (to == router.ToAll || pyrotest.CallID(reply) != id) {
						t.Errorf("%s was answered with %.60q", id, reply.Data)
					}
					leaves = bytes.Contains(reply.Data, []byte("CommunicationError")) // as a proxy does
				}
				if leaves {
					if rng.IntN(2) == 0 {
						_ = c.Reset()
					} else {
						_ = c.Close()
					}
					c = r.connect(pyrotest.Client{Dialect: dialects[i%2]})
				}
			}
			_ = c.Close()
		})
	}
	workers.Wait()
	heard := 0
	for i, ledger := range ledgers {
		for id, n := range ledger.All() {
			heard++
			if n > 1 {
				t.Errorf("listener %d ran %q %d times", i, id, n)
			}
		}
	}
	if heard == 0 {
		t.Error("nobody heard anything")
	}
	r.waitValue(0, "sessions")
	r.waitValue(0, "endpoint_leases")
	r.waitValue(0, "buffer_memory_bytes")
}

// atRandom does one of scripts each time.
func atRandom(seed uint64, scripts ...pyrotest.Script) pyrotest.Script {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 7))
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		mu.Lock()
		s := scripts[rng.IntN(len(scripts))]
		mu.Unlock()
		s(c, m)
	}
}

func listensAtRandom(seed uint64) pyrotest.Script {
	ok := pyrotest.Echo
	return atRandom(seed, ok, ok, ok, ok, ok, ok, ok, ok, pyrotest.After(2*time.Millisecond, ok), pyrotest.After(20*time.Millisecond, ok),
		pyrotest.RaiseException("no"), pyrotest.Steps(pyrotest.RaiseException("no"), pyrotest.Hangup), pyrotest.Hangup, pyrotest.ResetConn,
		pyrotest.HalfReply, pyrotest.WrongSeq, pyrotest.ReplyStream("x"), pyrotest.Steps(pyrotest.Echo, pyrotest.Hangup),
		pyrotest.Garbage([]byte("SSH-2.0-OpenSSH_9.9\r\n")), pyrotest.Steps(pyrotest.Echo, pyrotest.Echo),
		echoLarge, pyrotest.OtherDialect(pyrotest.Echo))
}

// echoLarge answers with what has the call's id, and is large.
func echoLarge(c *pyrotest.DaemonConn, m pyrotest.Message) {
	_ = c.Reply(m, wire.Result, 0, pyrotest.CallData(pyrotest.CallID(m), 600_000))
}

func greetsAtRandom(seed uint64) pyrotest.Script {
	ok := pyrotest.AcceptConnect
	return atRandom(seed, ok, ok, ok, ok, ok, ok, ok, pyrotest.RejectConnect("what?"), pyrotest.RejectConnect(pyrotest.NoFreeWorkers),
		pyrotest.Hangup, pyrotest.Steps(ok, pyrotest.Hangup))
}

// A reply that comes after its call was answered reaches nobody: the connection it comes
// on serves no other call.
func TestDeliveryLate(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			release := make(chan struct{})
			ledger := &pyrotest.Ledger{}
			r := start(t, tr, setup{
				Call: true,
				Daemons: []*pyrotest.Daemon{{
					Ledger: ledger, OnInvoke: pyrotest.InTurn(pyrotest.AfterSignal(release, pyrotest.Echo), pyrotest.Echo, pyrotest.Echo),
				}},
				Calls: blobRoute(func(r *router.Route) {
					r.Timeouts.Call, r.Policy.TimeoutError = 200*time.Millisecond, router.BuiltinTimeout
				}),
			})
			c := r.connect(pyrotest.Client{Dialect: d})
			m, err := c.Do(blobCall(c, "topic", pyrotest.CallData("first", 100)))
			if err != nil || !strings.Contains(string(m.Data), "TimeoutError") {
				t.Errorf("%+v %q, %v", m.Head, m.Data, err)
			}
			for i := range 2 {
				id := fmt.Sprint("next ", i)
				if m, err := c.Do(blobCall(c, "topic", pyrotest.CallData(id, 100))); err != nil || pyrotest.CallID(m) != id {
					t.Errorf("%+v %.60q, %v", m.Head, m.Data, err)
				}
				if i == 0 {
					close(release)
				}
			}
			r.stop()
			if n := ledger.Times("first"); n != 1 {
				t.Errorf("it ran %d times", n)
			}
		}
	})
}
