package relay_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestDeliveryBytes has many clients send blobs of sizes around all limits to few listeners
// that read slowly, break off anywhere and answer at all lengths, with memory for less than
// that. Each payload and annotation says what it must be: nothing arrives changed, mixed or
// in part, and nothing twice unless it may; what clients are told is true; nothing is left.
func TestDeliveryBytes(t *testing.T) {
	tests := []struct {
		name       string
		to         router.To
		quorum     int
		idempotent bool
		key        wire.Key // the daemons'
	}{
		{"one", router.ToOne, 0, false, nil},
		{"two", router.ToAll, 2, false, daemonsKey},
		{"none", router.ToAll, -1, false, nil},
		{"first, again", router.ToFirst, 0, true, daemonsKey},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) {
				w := &deliveryWorld{TB: t, times: make(map[string][listeners]int), rng: rand.New(rand.NewPCG(uint64(i), 11))}
				s := onDisk(t, setup{
					Env:         func(e *router.Env) { e.Key = tt.key; e.Limits.Delivery = 1 << 20 },
					ShapeDaemon: w.frail,
					Cluster: func(c *backend.Config) {
						c.MaxConnections, c.GhostTimeout, c.Retries, c.RetryBudget = 3, 600*time.Millisecond, 2, 100
						c.Key = tt.key
					},
					Calls: blobRoute(func(r *router.Route) {
						r.Deliver.To, r.Deliver.Quorum, r.Idempotent = tt.to, tt.quorum, tt.idempotent
						r.Timeouts.Call, r.Timeouts.Send = time.Second, 200*time.Millisecond
						r.Policy.TimeoutError, r.Policy.Preserve = router.BuiltinTimeout, false
					}),
				})
				for k := range listeners {
					s.Daemons = append(s.Daemons, &pyrotest.Daemon{OnInvoke: w.listen(k), Key: tt.key})
				}
				s.Route = func(r *router.Route) { r.Answer = &router.Members{Methods: []string{"process_blob"}} }
				s.Spill.Threshold, s.Spill.Bytes = 400_000, 3<<20
				s.BufferMemory = 2 << 20
				r := start(t, tr, s)
				var clients sync.WaitGroup
				for k := range 6 {
					clients.Go(func() { w.call(r, k, tt.to, tt.quorum, tt.key) })
				}
				clients.Wait()
				for _, gauge := range []string{"sessions", "endpoint_leases", "buffer_memory_bytes", "spill_files", "spill_bytes"} {
					r.waitValue(0, gauge)
				}
				r.stop()
				heard := 0
				for id, times := range w.times {
					heard++
					for k, n := range times {
						if n > 1 && !tt.idempotent {
							t.Errorf("listener %d got %s %d times", k, id, n)
						}
					}
				}
				if heard == 0 {
					t.Error("nobody got anything")
				}
				for k, d := range r.setup.Daemons {
					for _, c := range d.Conns() {
						if bad := (*wire.HeadError)(nil); c.Err() == nil || errors.As(c.Err(), &bad) {
							t.Errorf("listener %d got what is no call: %v", k, c.Err())
						}
					}
				}
			})
		})
	}
}

const listeners = 3

// deliveryWorld is what clients and listeners of TestDeliveryBytes have in common.
type deliveryWorld struct {
	testing.TB
	mu    sync.Mutex
	rng   *rand.Rand
	times map[string][listeners]int // that each listener got each call
}

func (w *deliveryWorld) intn(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// size is one near a limit.
func (w *deliveryWorld) size() int {
	limits := []int{0, 512, 16 << 10, 64 << 10, 256 << 10, 400_000, 1 << 20, 300_000, 700_000}
	return max(0, limits[w.intn(len(limits))]-w.intn(400)+100)
}

// sealed is data of about n bytes that says what it must be.
func (w *deliveryWorld) sealed(id string, n int) []byte {
	b := make([]byte, max(0, n-len(id)-66))
	w.mu.Lock()
	for i := range b {
		if i%7 == 0 {
			b[i] = byte(w.rng.Uint32())
		}
	}
	w.mu.Unlock()
	sum := sha256.Sum256(append([]byte(id), b...))
	return slices.Concat([]byte(id+"\n"), []byte(hex.EncodeToString(sum[:])+"\n"), b)
}

// opened is the id of what sealed made, "" where it has been changed.
func opened(data []byte) string {
	id, rest, _ := bytes.Cut(data, []byte("\n"))
	sum, b, _ := bytes.Cut(rest, []byte("\n"))
	if want := sha256.Sum256(append(slices.Clone(id), b...)); hex.EncodeToString(want[:]) != string(sum) {
		return ""
	}
	return string(id)
}

var moreChunk = [4]byte{'M', 'O', 'R', 'E'}

// listen is what listener k does on a call.
func (w *deliveryWorld) listen(k int) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		id := opened(m.Data)
		var about blob.Call
		for _, chunk := range m.Chunks {
			switch {
			case chunk.ID == wire.ChunkBlob:
				about, _ = blob.Parse(chunk.Value)
			case chunk.ID == moreChunk && opened(chunk.Value) != id:
				w.Errorf("listener %d: %q has the annotation %.60q", k, id, chunk.Value)
			}
		}
		if id == "" || about.Object != fmt.Sprint("l", k) || about.Method != "process_blob" {
			w.Errorf("listener %d got %+v for %s.%s, %.100q", k, m.Head, about.Object, about.Method, m.Data)
		}
		w.mu.Lock()
		times := w.times[id]
		times[k]++
		w.times[id] = times
		w.mu.Unlock()
		reply := func() { _ = c.Reply(m, wire.Result, 0, w.sealed(id, w.size())) }
		switch w.intn(20) {
		case 0:
			_ = c.Close()
		case 1:
			_ = c.Reset()
		case 2:
			pyrotest.RaiseException("no")(c, m)
		case 3:
			pyrotest.HalfReply(c, m)
			_ = c.Close()
		case 4:
			pyrotest.WrongSeq(c, m)
		case 5:
			reply()
			m.Head.Seq += 1000 // with the same one nobody could tell whose it is
			reply()
		case 6:
			reply()
			_ = c.Close()
		case 7:
			pyrotest.Garbage([]byte("SSH-2.0-OpenSSH_9.9\r\n"))(c, m)
		case 8:
			c.Pause(time.Duration(w.intn(5)) * time.Millisecond)
			reply()
		default:
			reply()
		}
	}
}

// call is a client's life: calls, of which some end in the middle.
func (w *deliveryWorld) call(r *rig, k int, to router.To, quorum int, key wire.Key) {
	d := dialects[k%2]
	connect := func() *pyrotest.Client {
		c := r.dial(pyrotest.Client{Dialect: d})
		noError(w, c.Send(c.ConnectMessage("some.object").Signed(key)))
		_, err := c.Next()
		noError(w, err)
		return c
	}
	c := connect()
	defer func() { _ = c.Close() }()
	for n := range 6 {
		id := fmt.Sprintf("%d-%d", k, n)
		m := blobCall(c, "topic", w.sealed(id, w.size()))
		if w.intn(3) == 0 {
			sizes := []int{10, 400, 16_000, 40_000, 64_000}
			m.Chunks = append(m.Chunks, wire.Chunk{ID: moreChunk, Value: w.sealed(id, sizes[w.intn(len(sizes))])})
		}
		oneway := w.intn(5) == 0
		if oneway {
			m.Head.Flags |= d.Bit(wire.Oneway)
		}
		b := m.Signed(key).Bytes()
		cuts := []int{w.intn(len(b)), w.intn(len(b))}
		slices.Sort(cuts)
		leaves := w.intn(8) == 0
		if leaves {
			b = b[:w.intn(len(b)+1)]
			cuts = nil
		}
		if err := c.WriteCut(b, cuts...); err != nil {
			w.Errorf("%s: %v", id, err)
		}
		switch {
		case leaves && w.intn(2) == 0:
			_ = c.Reset()
			c = connect()
			continue
		case leaves:
			_ = c.Close()
			c = connect()
			continue
		case oneway:
			continue
		case k == 0:
			time.Sleep(time.Duration(w.intn(10)) * time.Millisecond)
		}
		reply, err := c.Await(m)
		if err != nil {
			w.Errorf("%s of %d bytes: %v", id, len(b), err)
			return
		}
		w.told(id, reply, to, quorum, key)
		if bytes.Contains(reply.Data, []byte("CommunicationError")) { // a proxy leaves
			_ = c.Close()
			c = connect()
		}
	}
}

// told checks what a client was told of its call.
func (w *deliveryWorld) told(id string, reply pyrotest.Message, to router.To, quorum int, key wire.Key) {
	w.mu.Lock()
	times := w.times[id]
	w.mu.Unlock()
	heard := 0
	for _, n := range times {
		heard += min(n, 1)
	}
	if key != nil && reply.Head.Dialect == wire.V48 && !reply.SignedWith(key) {
		w.Errorf("%s: the answer is not signed", id)
	}
	switch {
	case reply.Head.Has(wire.Exception):
	case to != router.ToAll && opened(reply.Data) != id:
		w.Errorf("%s was answered with %.100q", id, reply.Data)
	case to == router.ToOne && heard == 0:
		w.Errorf("%s was answered, and nobody got it", id)
	case to == router.ToAll && !bytes.HasSuffix(reply.Data, []byte("None")):
		w.Errorf("%s was answered with %.100q", id, reply.Data)
	case to == router.ToAll && quorum >= 0 && heard < map[int]int{0: listeners, 2: 2}[quorum]:
		w.Errorf("%s is a success, and %d got it", id, heard)
	}
}

// frail makes a listener's connection one that is read slowly, in small parts, and may
// break at any byte.
func (w *deliveryWorld) frail(c net.Conn) net.Conn {
	f := &frailConn{Conn: c, w: w, left: 1 << 40}
	if w.intn(4) == 0 {
		f.left = 500 + w.intn(1<<uint(10+w.intn(11)))
	}
	return f
}

type frailConn struct {
	net.Conn
	w    *deliveryWorld
	left int // bytes that are read before it breaks
}

func (c *frailConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		if c.w.intn(2) == 0 {
			_ = c.SetLinger(0)
		}
		return 0, errors.Join(errBroke, c.Close())
	}
	if c.w.intn(30) == 0 {
		time.Sleep(time.Duration(c.w.intn(3)) * time.Millisecond)
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left, 30_000)])
	c.left -= n
	return n, err
}

func (c *frailConn) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

func (c *frailConn) SetLinger(seconds int) error {
	if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return l.SetLinger(seconds)
	}
	return nil
}

var errBroke = errors.New("broke")
