package relay_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Mode call: clients share connections.

// ownPingSeq is the sequence number of the relay's own PINGs.
const ownPingSeq = 0x5049

// tally counts the messages of a stream by their bytes, besides handshakes and
// the relay's own PINGs and their answers.
func tally(tb testing.TB, counts map[string]int, stream []byte) {
	tb.Helper()
	for r := bytes.NewReader(stream); r.Len() > 0; {
		m, err := pyrotest.ReadMessage(r)
		noError(tb, err)
		switch {
		case m.Head.Type == wire.Connect, m.Head.Type == wire.ConnectOK:
		case m.Head.Type == wire.Ping && m.Head.Seq == ownPingSeq:
		default:
			counts[string(m.Bytes())]++
		}
	}
}

// held is how many connections of the pool are not idle.
func (r *rig) held() (n int) {
	for _, e := range r.cluster.Status().Endpoints {
		n += e.InFlight + e.Resting + e.Ghosts
	}
	return n
}

// waitRest waits until every connection of the pool is idle.
func (r *rig) waitRest() {
	r.Helper()
	pyrotest.WaitZero(r, "connections that are not idle", func() float64 { return float64(r.held()) })
}

// Whatever clients and daemons say arrives unaltered, and each reply at the
// client that asked.
func TestPooledBytes(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			daemon := &pyrotest.Daemon{Record: true, OnInvoke: varied}
			r := start(t, tr, setup{Call: true, Daemons: []*pyrotest.Daemon{daemon}})
			const clients = 6
			var all [clients]*pyrotest.Client
			var asked [clients][]pyrotest.Message
			var wg sync.WaitGroup
			for i := range clients {
				rng := rand.New(rand.NewPCG(uint64(i), uint64(d)))
				c := r.connect(pyrotest.Client{Dialect: d, Record: true})
				all[i], asked[i] = c, conversation(rng, c, fmt.Sprintf("%d-", i), 40, 100_000)
				wg.Go(func() { converse(t, rng, c, asked[i], i%2 == 0) })
			}
			wg.Wait()
			for _, c := range all {
				noError(t, c.Close())
			}
			r.waitRest()
			r.stop() // and with it the connections
			sent, received := map[string]int{}, map[string]int{}
			answered, heard := map[string]int{}, map[string]int{}
			for _, c := range all {
				tally(t, sent, c.Sent())
				tally(t, heard, c.Received())
			}
			for _, conn := range daemon.Conns() {
				<-conn.Ended()
				tally(t, received, conn.Received())
				tally(t, answered, conn.Sent())
			}
			checkLedger(t, daemon.Ledger, asked[:]...)
			if !cmp.Equal(sent, received) {
				t.Errorf("%v: requests differ: %d kinds sent, %d received", d, len(sent), len(received))
			}
			if !cmp.Equal(answered, heard) {
				t.Errorf("%v: replies differ: %d kinds sent, %d received", d, len(answered), len(heard))
			}
		}
	})
}

// converse makes the requests, one by one or all at once, and reads the replies.
func converse(t *testing.T, rng *rand.Rand, c *pyrotest.Client, requests []pyrotest.Message, atOnce bool) {
	var written sync.WaitGroup
	if atOnce {
		var stream []byte
		var cuts []int
		for _, m := range requests {
			stream = append(stream, m.Bytes()...)
			cuts = append(cuts, len(stream)-rng.IntN(len(m.Bytes())))
		}
		written.Go(func() {
			if err := c.WriteCut(stream, cuts...); err != nil {
				t.Error(err)
			}
		})
	}
	for i, m := range requests {
		if !atOnce {
			if err := c.Send(m); err != nil {
				t.Error(err)
				return
			}
		}
		if isOneway(m) {
			continue
		}
		reply, err := c.Await(m)
		if err != nil {
			t.Errorf("request %d (%v): %v", i, m.Head, err)
			return
		}
		if m.Head.Type == wire.Invoke && m.Head.Seq%5 > 2 && !bytes.Equal(reply.Data, m.Data) {
			t.Errorf("request %d: got %d bytes of somebody else's", i, len(reply.Data))
		}
	}
	written.Wait()
}

// Many clients are served by a daemon that has few threads, and none of their
// calls is lost or made twice.
func TestManyOnFew(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		const clients, calls, threads = 60, 10, 4
		var mu sync.Mutex
		open, most := 0, 0
		daemon := &pyrotest.Daemon{OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			mu.Lock()
			open++
			most = max(most, open)
			mu.Unlock()
			c.Pause(time.Millisecond)
			pyrotest.Echo(c, m)
			mu.Lock()
			open--
			mu.Unlock()
		}}
		r := start(t, tr, setup{Call: true, Daemons: []*pyrotest.Daemon{daemon}})
		var all []*pyrotest.Client
		for range clients {
			all = append(all, r.connect(pyrotest.Client{}))
		}
		var wg sync.WaitGroup
		for i, c := range all {
			wg.Go(func() {
				for n := range calls {
					id := fmt.Sprintf("%d-%d", i, n)
					var err error
					switch n % 3 {
					case 0:
						err = c.Oneway(pyrotest.CallData(id, 300))
					default:
						var reply pyrotest.Message
						if reply, err = c.Call(pyrotest.CallData(id, 300)); err == nil && pyrotest.CallID(reply) != id {
							err = fmt.Errorf("%s was answered with %s", id, pyrotest.CallID(reply))
						}
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		r.waitRest()
		mu.Lock()
		if n := r.daemon().Open(); n > threads || most > threads {
			t.Errorf("%d connections, %d at work at once; %d threads", n, most, threads)
		}
		mu.Unlock()
		for i := range clients {
			for n := range calls {
				if times := daemon.Ledger.Times(fmt.Sprintf("%d-%d", i, n)); times != 1 {
					t.Errorf("call %d-%d ran %d times", i, n, times)
				}
			}
		}
		if hits := r.value("handshake_cache_hits_total"); hits < clients-threads {
			t.Errorf("%v CONNECTs were answered without a daemon", hits)
		}
	})
}

// A client's calls reach the daemon in its order, oneway or not.
func TestPooledOrder(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		var mu sync.Mutex
		last := map[string]int{}
		daemon := &pyrotest.Daemon{OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			var client string
			var n int
			if _, err := fmt.Sscanf(pyrotest.CallID(m), "%s %d", &client, &n); err != nil {
				t.Error(err)
			}
			mu.Lock()
			if n != last[client]+1 {
				t.Errorf("client %s: %d behind %d", client, n, last[client])
			}
			last[client] = n
			mu.Unlock()
			pyrotest.Echo(c, m)
		}}
		r := start(t, tr, setup{Call: true, Daemons: []*pyrotest.Daemon{daemon}})
		inNumbers(8, func(i int) {
			c := r.connect(pyrotest.Client{Dialect: dialects[i%2]})
			rng := rand.New(rand.NewPCG(uint64(i), 0))
			for n := range 60 {
				data := pyrotest.CallData(fmt.Sprintf("%d %d", i, n+1), 100)
				var err error
				if rng.IntN(3) > 0 {
					err = c.Oneway(data)
				} else {
					_, err = c.Call(data)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		r.waitRest() // every PING of ours is answered, and nobody missed it
	})
}

// Clients pipeline CONNECT and calls without waiting, and half-close.
func TestPooledWithoutWaiting(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{Call: true})
		inNumbers(60, func(i int) {
			c := r.dial(pyrotest.Client{Dialect: dialects[i%2]})
			call, other := c.InvokeMessage(pyrotest.CallData(fmt.Sprint(i), 50+i*100)), c.InvokeMessage([]byte("other\n"))
			oneway := c.InvokeMessage(pyrotest.CallData(fmt.Sprint("oneway ", i), 50))
			oneway.Head.Flags |= c.Dialect.Bit(wire.Oneway)
			stream := bytes.Join([][]byte{c.ConnectMessage("some.object").Bytes(), oneway.Bytes(), call.Bytes(), other.Bytes()}, nil)
			_, err := c.Write(stream)
			if err == nil {
				err = c.CloseWrite()
			}
			for _, want := range []wire.Type{wire.ConnectOK, wire.Result, wire.Result} {
				if err == nil {
					var reply pyrotest.Message
					if reply, err = c.Next(); err == nil && reply.Head.Type != want {
						err = fmt.Errorf("%v, not %v", reply.Head.Type, want)
					}
				}
			}
			if err == nil {
				_, err = io.Copy(io.Discard, c)
			}
			if err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			c.Close()
		})
		r.waitRest()
		for i := range 60 {
			for _, id := range []string{fmt.Sprint(i), fmt.Sprint("oneway ", i)} {
				if n := r.daemon().Ledger.Times(id); n != 1 {
					t.Errorf("call %s ran %d times", id, n)
				}
			}
		}
	})
}
