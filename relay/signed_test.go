package relay_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Messages of Pyro4 that are signed, with a key that the relay has.

var (
	clientsKey = wire.Key("what clients and listener share")
	daemonsKey = wire.Key("what the daemons share")
)

// keyed has the clients' key at the listener and another at the cluster.
func keyed(key wire.Key) setup {
	return setup{
		Call: true,
		Env:  func(e *router.Env) { e.Key = clientsKey },
		Cluster: func(c *backend.Config) {
			pooledToo(c)
			c.Key = key
		},
	}
}

// signer is a client of Pyro4 with a key.
type signer struct {
	*pyrotest.Client
	key wire.Key
}

// signs connects one.
func signs(t *testing.T, r *rig, key wire.Key) *signer {
	t.Helper()
	s := &signer{r.dial(pyrotest.Client{Dialect: wire.V48}), key}
	noError(t, s.Send(s.ConnectMessage("some.object").Signed(key)))
	m, err := s.Next()
	noError(t, err)
	if m.Head.Type != wire.ConnectOK || !m.SignedWith(key) {
		t.Fatalf("CONNECT was answered with %+v", m)
	}
	return s
}

// received are the calls that a daemon got.
type received struct {
	mu    sync.Mutex
	calls []pyrotest.Message
}

func (r *received) note(then pyrotest.Script) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		r.mu.Lock()
		r.calls = append(r.calls, m)
		r.mu.Unlock()
		then(c, m)
	}
}

func (r *received) all() []pyrotest.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

// A blob is retargeted with the daemons' signature, and answered with the client's. The
// daemons hang up on what is signed otherwise.
func TestSignedDelivery(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, key := range []wire.Key{clientsKey, daemonsKey, nil} {
			var a audience
			var got received
			s := keyed(key)
			s.Spill = relay.Spill{Bytes: 8 << 20, Threshold: 400_000, Dir: t.TempDir()} // the last one
			s.Daemons = []*pyrotest.Daemon{a.daemon("A", got.note(pyrotest.Echo)), a.daemon("B", got.note(pyrotest.Echo))}
			for _, d := range s.Daemons {
				d.Key = key
			}
			s.Calls = blobRoute(func(r *router.Route) { r.Deliver.To, r.Policy.Preserve = router.ToAll, false })
			s.Route = func(r *router.Route) { r.Answer = &router.Members{Methods: []string{"process_blob"}} }
			r := start(t, tr, s)
			c := signs(t, r, clientsKey)
			for n, size := range []int{10, 70_000, 500_000} {
				data := bytes.Repeat([]byte{byte('a' + n)}, size)
				m, err := c.Do(blobCall(c.Client, "topic", data).Signed(clientsKey))
				if err != nil || !m.SignedWith(clientsKey) || !bytes.HasSuffix(m.Data, []byte("None")) {
					t.Fatalf("key %q, %d bytes: %+v, %v", key, size, m, err)
				}
				calls := got.all()[2*n:]
				if len(calls) != 2 {
					t.Fatalf("key %q, %d bytes: %d calls came", key, size, len(calls))
				}
				for _, m := range calls {
					if !bytes.Equal(m.Data, data) || key == nil && has(m, wire.ChunkHMAC) || key != nil && !m.SignedWith(key) {
						t.Errorf("key %q: %d bytes with %+v came", key, len(m.Data), m.Head)
					}
				}
			}
			if a.count("A l0.process_blob") != 3 || a.count("B l1.process_blob") != 3 {
				t.Errorf("they heard %q", a.heard)
			}
			r.stop()
		}
	})
}

func has(m pyrotest.Message, id [4]byte) bool {
	for _, c := range m.Chunks {
		if c.ID == id {
			return true
		}
	}
	return false
}

// What is not signed, or not rightly, is neither changed nor answered, whatever the route.
func TestForgedCalls(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		forge := func(m pyrotest.Message) pyrotest.Message {
			m = m.Signed(clientsKey)
			m.Data = append(bytes.Clone(m.Data), '!')
			return m
		}
		for name, bad := range map[string]func(pyrotest.Message) pyrotest.Message{
			"other data": forge,
			"other key":  func(m pyrotest.Message) pyrotest.Message { return m.Signed(daemonsKey) },
			"none":       func(m pyrotest.Message) pyrotest.Message { return m },
		} {
			for _, size := range []int{10, 200_000, 600_000} {
				for _, answer := range []bool{false, true} {
					var blobs, plain received
					s := keyed(clientsKey)
					s.Spill = relay.Spill{Bytes: 8 << 20, Threshold: 400_000, Dir: t.TempDir()}
					// It takes anything, so that what it gets can be looked at.
					s.Daemons = []*pyrotest.Daemon{{Key: clientsKey, Trusting: true, OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
						to := &blobs
						if bytes.Contains(c.Connect.Data, []byte("some.object")) {
							to = &plain
						}
						to.note(pyrotest.Hangup)(c, m)
					}}}
					s.Calls = blobRoute(func(r *router.Route) { r.Deliver.To, r.Policy.Preserve = router.ToAll, false })
					if answer {
						s.Route = func(r *router.Route) { r.Answer = &router.Members{Methods: []string{"process_blob"}} }
					}
					r := start(t, tr, s)
					c := signs(t, r, clientsKey)
					sent := bad(blobCall(c.Client, "topic", make([]byte, size)))
					noError(t, c.Send(sent))
					if m, err := c.Next(); err == nil {
						t.Errorf("%s, %d bytes: answered with %+v", name, size, m.Head)
					}
					noError(t, c.Close())
					if n := len(blobs.all()); n > 0 {
						t.Errorf("%s, %d bytes: %d were dispatched", name, size, n)
					}
					for _, m := range plain.all() {
						if !bytes.Equal(m.Bytes(), sent.Bytes()) {
							t.Errorf("%s, %d bytes: what came is not what was sent", name, size)
						}
					}
					r.stop()
				}
			}
		}
	})
}

// Replies that are not the daemons' are not passed on, least of all with a signature.
func TestForgedReplies(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, to := range []router.To{router.ToAll, router.ToOne, router.ToFirst} {
			s := keyed(daemonsKey)
			s.Daemons = []*pyrotest.Daemon{{Key: daemonsKey, OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
				reply := pyrotest.Message{Head: m.Head, Data: []byte("forged")}
				reply.Head.Type, reply.Head.Flags = wire.Result, 0
				_ = c.Send(reply.Signed(clientsKey))
			}}}
			s.Calls = blobRoute(func(r *router.Route) { r.Deliver.To = to })
			s.Route = func(r *router.Route) { r.Answer = &router.Members{Methods: []string{"process_blob"}} }
			r := start(t, tr, s)
			c := signs(t, r, clientsKey)
			m, err := c.Do(blobCall(c.Client, "topic", []byte("data")).Signed(clientsKey))
			if err != nil || !m.SignedWith(clientsKey) || !m.Head.Has(wire.Exception) || !strings.Contains(string(m.Data), router.ErrReply.Error()) {
				t.Errorf("%v: %+v %q, %v", to, m.Head, m.Data, err)
			}
			r.stop()
		}
	})
}

// Calls that are not signed do not get to daemons whose calls are.
func TestUnsignedDelivery(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		var got received
		s := keyed(daemonsKey)
		s.Env = nil
		s.Daemons = []*pyrotest.Daemon{{OnInvoke: got.note(pyrotest.Echo)}}
		s.Calls = blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll })
		s.Route = func(r *router.Route) { r.Answer = &router.Members{Methods: []string{"process_blob"}} }
		r := start(t, tr, s)
		c := r.connect(pyrotest.Client{Dialect: wire.V48})
		m, err := c.Do(blobCall(c, "topic", []byte("data")))
		if err != nil || !m.Head.Has(wire.Exception) || !strings.Contains(string(m.Data), router.ErrUnsigned.Error()) {
			t.Errorf("%+v %q, %v", m.Head, m.Data, err)
		}
		if n := len(got.all()); n > 0 {
			t.Errorf("%d came", n)
		}
		r.stop()
	})
}

// Clients with the daemons' key share connections, and their calls get ids.
func TestSignedCalls(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		var got received
		s := keyed(clientsKey)
		s.Env = nil // that the cluster has it is enough
		s.Daemons = []*pyrotest.Daemon{{Key: clientsKey, OnInvoke: got.note(pyrotest.Echo)}}
		s.Cluster = func(c *backend.Config) { c.MaxConnections, c.Key = 1, clientsKey }
		s.Route = func(r *router.Route) { r.ShareHandshake, r.Policy.Preserve = true, false }
		r := start(t, tr, s)
		for range 3 {
			c := signs(t, r, clientsKey)
			for range 3 {
				m, err := c.Do(c.InvokeMessage([]byte("data")).Signed(clientsKey))
				if err != nil || string(m.Data) != "data" || !m.SignedWith(clientsKey) {
					t.Fatalf("%+v %q, %v", m.Head, m.Data, err)
				}
			}
			noError(t, c.Send(onewayCall(c).Signed(clientsKey)))
			noError(t, c.Close())
		}
		pyrotest.WaitFor(r, "all have come", func() bool { return len(got.all()) == 12 })
		for _, m := range got.all() {
			if _, ok := m.Correlation(); !ok || !m.SignedWith(clientsKey) {
				t.Errorf("%d came, without an id or a signature", m.Head.Seq)
			}
		}
		if n := len(s.Daemons[0].Conns()); n != 1 {
			t.Errorf("there were %d connections", n)
		}
		r.stop()
	})
}

func onewayCall(c *signer) pyrotest.Message {
	m := c.InvokeMessage([]byte("oneway"))
	m.Head.Flags |= wire.V48.Bit(wire.Oneway)
	return m
}

// A time out is told with a signature.
func TestSignedTimeout(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		s := keyed(clientsKey)
		s.Daemons = []*pyrotest.Daemon{{Key: clientsKey, OnInvoke: pyrotest.Silence}}
		s.Route = func(r *router.Route) { r.Timeouts.Call = 200 * time.Millisecond }
		r := start(t, tr, s)
		c := signs(t, r, clientsKey)
		m, err := c.Do(c.InvokeMessage([]byte("data")).Signed(clientsKey))
		if err != nil || !m.SignedWith(clientsKey) || !strings.Contains(string(m.Data), "TimeoutError") {
			t.Errorf("%+v %q, %v", m.Head, m.Data, err)
		}
		r.stop()
	})
}
