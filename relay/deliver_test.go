package relay_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Calls that are dispatched by what their blobs are about.

// audience is some daemons that listen to topics.
type audience struct {
	mu    sync.Mutex
	heard []string // "daemon object data", of each call
}

func (a *audience) daemon(name string, then pyrotest.Script) *pyrotest.Daemon {
	return &pyrotest.Daemon{OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		for _, chunk := range m.Chunks {
			if chunk.ID == wire.ChunkBlob {
				b, err := blob.Parse(chunk.Value)
				if err != nil {
					panic(err)
				}
				a.mu.Lock()
				a.heard = append(a.heard, fmt.Sprintf("%s %s.%s %d", name, b.Object, b.Method, len(m.Data)))
				a.mu.Unlock()
			}
		}
		then(c, m)
	}}
}

func (a *audience) count(prefix string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range a.heard {
		if strings.HasPrefix(h, prefix) {
			n++
		}
	}
	return n
}

// blobRoute is a route of all blob calls to some listeners: of the daemons, in order,
// for both dialects, object lN.
func blobRoute(change func(*router.Route)) func(r *rig) []*router.Route {
	return func(r *rig) []*router.Route {
		route := &router.Route{
			Name: "blobs", Calls: r.set.Calls("blobs", "cluster"), Mode: router.ModeCall,
			Cluster: r.cluster, Call: &router.CallMatch{Blob: true},
			Timeouts: router.InheritAll(), Policy: router.Policy{Preserve: true},
		}
		route.Deliver.Handshake = "hello"
		route.Deliver.Listeners = func(info blob.Scalar) (places []backend.Place, known bool) {
			if info != blob.TextScalar("topic") {
				return nil, true
			}
			for i, m := range r.members {
				places = append(places, backend.Place{Address: m.Address, Object: fmt.Sprintf("l%d", i/2)})
			}
			return places, true
		}
		change(route)
		return []*router.Route{route}
	}
}

// blobCall is a call with a blob about info.
func blobCall(c *pyrotest.Client, info string, data []byte, flags ...wire.Flag) pyrotest.Message {
	m := c.InvokeMessage(data)
	d := m.Head.Dialect
	m.Head.Flags |= d.Bit(wire.KeepSerialized)
	for _, f := range flags {
		m.Head.Flags |= d.Bit(f)
	}
	m.Chunks = append(m.Chunks, wire.Chunk{ID: wire.ChunkBlob, Value: blob.AppendNew(nil, blob.TextScalar(info), "dispatcher", "process_blob")})
	return m
}

// Each listener gets each blob once, under its own name, and the client None.
func TestDeliverToAll(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, call := range []bool{false, true} {
			var a audience
			r := start(t, tr, setup{
				Call:    call,
				Cluster: pooledToo,
				Daemons: []*pyrotest.Daemon{a.daemon("A", pyrotest.Echo), a.daemon("B", pyrotest.Echo), a.daemon("C", pyrotest.Echo)},
				Calls:   blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
			})
			const clients, calls = 4, 12
			var wg sync.WaitGroup
			for i := range clients {
				d := dialects[i%2]
				c := r.connect(pyrotest.Client{Dialect: d})
				wg.Go(func() {
					for n := range calls {
						size := []int{10, 1000, 70_000, 500_000}[n%4]
						m, err := c.Do(blobCall(c, "topic", bytes.Repeat([]byte{byte(n)}, size)))
						if err != nil || m.Head.Has(wire.Exception) || !bytes.HasSuffix(m.Data, []byte("None")) {
							t.Errorf("%v: %d: %+v %q, %v", d, n, m.Head, m.Data, err)
							return
						}
						// A plain call goes where it always went, whatever is left over from a blob's.
						plain := c.InvokeMessage([]byte("plain"))
						plain.Chunks = blobCall(c, "topic", nil).Chunks
						if m, err := c.Do(plain); err != nil || string(m.Data) != "plain" {
							t.Errorf("%v: %q, %v", d, m.Data, err)
						}
					}
				})
			}
			wg.Wait()
			for i, name := range []string{"A", "B", "C"} {
				if got := a.count(fmt.Sprintf("%s l%d.process_blob ", name, i)); got != clients*calls {
					t.Errorf("%s heard %d", name, got)
				}
			}
			if n := r.value("dispatched_legs_total", "blobs", "cluster", "ok"); n != 3*clients*calls {
				t.Errorf("%v legs ended well", n)
			}
			r.stop()
		}
	})
}

// pooledToo lets a cluster of mode session have pooled connections as well.
func pooledToo(c *backend.Config) {
	c.Adopt = relay.Adopt
	c.MaxConnections, c.Queue, c.QueueTimeout = 20, 100, time.Minute
}

// What becomes of the client's answer where listeners do not all do well.
func TestDeliveryAnswers(t *testing.T) {
	raise := pyrotest.RaiseException("no")
	tests := []struct {
		name    string
		to      router.To
		quorum  int
		unheard bool
		topic   string
		daemons []pyrotest.Script
		want    string // a part of the reply's data
		raised  bool
	}{
		{name: "all well", to: router.ToAll, daemons: scripts(pyrotest.Echo, pyrotest.Echo), want: "None"},
		{name: "one raises", to: router.ToAll, daemons: scripts(pyrotest.Echo, raise), want: "ValueError", raised: true},
		{name: "one hangs up", to: router.ToAll, daemons: scripts(pyrotest.Hangup, pyrotest.Echo), want: "connection lost before the reply", raised: true},
		{name: "one is silent", to: router.ToAll, daemons: scripts(pyrotest.Echo, pyrotest.Silence), want: "no reply in time", raised: true},
		{name: "one streams", to: router.ToAll, daemons: scripts(pyrotest.Echo, pyrotest.ReplyStream("x")), want: "item stream", raised: true},
		{name: "one is garbled", to: router.ToAll, daemons: scripts(pyrotest.Echo, pyrotest.WrongSeq), want: "l1@", raised: true},
		{name: "quorum reached", to: router.ToAll, quorum: 1, daemons: scripts(pyrotest.Silence, pyrotest.Echo), want: "None"},
		{name: "quorum missed", to: router.ToAll, quorum: 2, daemons: scripts(raise, pyrotest.Echo), want: "ValueError", raised: true},
		{name: "quorum impossible", to: router.ToAll, quorum: 3, daemons: scripts(raise, pyrotest.Echo), want: "there are 2 listeners, and 3 must answer", raised: true},
		{name: "none is waited for", to: router.ToAll, quorum: -1, daemons: scripts(raise, pyrotest.Silence), want: "None"},
		{name: "the first is good", to: router.ToFirst, daemons: scripts(raise, pyrotest.Echo), want: "data"},
		{name: "the first that comes", to: router.ToFirst, daemons: scripts(pyrotest.Silence, pyrotest.Echo), want: "data"},
		{name: "none is good", to: router.ToFirst, daemons: scripts(raise, raise), want: "ValueError", raised: true},
		{name: "one of them", to: router.ToOne, daemons: scripts(pyrotest.Echo, pyrotest.Echo), want: "data"},
		{name: "nobody", to: router.ToAll, topic: "other", daemons: scripts(pyrotest.Echo), want: "no listener", raised: true},
		{name: "nobody is fine", to: router.ToAll, topic: "other", unheard: true, daemons: scripts(pyrotest.Echo), want: "None"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) {
				for _, d := range dialects {
					var daemons []*pyrotest.Daemon
					for _, s := range tt.daemons {
						daemons = append(daemons, &pyrotest.Daemon{OnInvoke: s})
					}
					r := start(t, tr, setup{
						Call: true, Daemons: daemons,
						Cluster: func(c *backend.Config) { c.GhostTimeout = time.Second },
						Calls: blobRoute(func(r *router.Route) {
							r.Deliver.To, r.Deliver.Quorum, r.Deliver.Unheard = tt.to, tt.quorum, tt.unheard
							r.Timeouts.Call = 300 * time.Millisecond
							r.Policy.TimeoutError = router.BuiltinTimeout
						}),
					})
					c := r.connect(pyrotest.Client{Dialect: d})
					topic := tt.topic
					if topic == "" {
						topic = "topic"
					}
					for range 3 { // the connections are as good as before
						m, err := c.Do(blobCall(c, topic, []byte("data")))
						if err != nil || m.Head.Has(wire.Exception) != tt.raised || !strings.Contains(string(m.Data), tt.want) {
							t.Errorf("%v: %+v %q, %v", d, m.Head, m.Data, err)
						}
						if tt.raised && bytes.Contains(m.Data, []byte("CommunicationError")) {
							noError(t, c.Close())
							c = r.connect(pyrotest.Client{Dialect: d}) // as a proxy does
						}
					}
					noError(t, c.Close())
					r.waitValue(0, "sessions")
					r.stop()
				}
			})
		})
	}
}

func scripts(s ...pyrotest.Script) []pyrotest.Script { return s }

// A oneway blob reaches every listener, though its client has gone at once.
func TestDeliverOneway(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		var a audience
		r := start(t, tr, setup{
			Call:    true,
			Daemons: []*pyrotest.Daemon{a.daemon("A", pyrotest.Echo), a.daemon("B", pyrotest.Echo)},
			Calls:   blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
		})
		for _, d := range dialects {
			for _, size := range []int{10, 300_000} {
				c := r.connect(pyrotest.Client{Dialect: d})
				for range 3 {
					noError(t, c.Send(blobCall(c, "topic", make([]byte, size), wire.Oneway)))
				}
				noError(t, c.Close())
			}
		}
		pyrotest.WaitFor(t, "all are heard", func() bool { return a.count("A l0.") == 12 && a.count("B l1.") == 12 })
	})
}

// A listener that takes nothing does not keep the others from getting theirs, and costs
// its client no more than the call's time.
func TestDeliverPastDeaf(t *testing.T) {
	inBubble(t, &pyrotest.Network{Buffer: 4000}, func(t *testing.T, tr transport) {
		var heard atomic.Int32
		deaf := make(chan struct{})
		t.Cleanup(func() { close(deaf) })
		r := start(t, tr, setup{
			Call: true,
			Daemons: []*pyrotest.Daemon{
				{OnInvoke: pyrotest.AfterSignal(deaf, pyrotest.Echo)},
				{OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) { heard.Add(1); pyrotest.Echo(c, m) }},
			},
			Cluster: func(c *backend.Config) { c.GhostTimeout = time.Second },
			Calls: blobRoute(func(r *router.Route) {
				r.Deliver.To = router.ToAll
				r.Timeouts.Call, r.Policy.TimeoutError = time.Second, router.BuiltinTimeout
			}),
		})
		c := r.connect(pyrotest.Client{})
		for n := range int32(3) {
			began := time.Now()
			m, err := c.Do(blobCall(c, "topic", make([]byte, 100_000)))
			if err != nil || !strings.Contains(string(m.Data), "no reply in time") {
				t.Errorf("%+v %q, %v", m.Head, m.Data, err)
			}
			if took := time.Since(began); took < time.Second || took > 2*time.Second {
				t.Errorf("after %v", took)
			}
			if heard.Load() != n+1 {
				t.Errorf("the other one heard %d", heard.Load())
			}
		}
	})
}

// A client whose object is at no endpoint is answered by us, and its blobs are
// dispatched like others'.
func TestDeliverForNobodysObject(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		var a audience
		r := start(t, tr, setup{
			Call: true, Daemons: []*pyrotest.Daemon{a.daemon("A", pyrotest.Echo)},
			Route: func(r *router.Route) { r.Listeners = []string{"another"} },
			Calls: func(r *rig) []*router.Route {
				return append(blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll })(r), &router.Route{
					Name: "answer", Calls: r.set.Calls("answer", ""), Mode: router.ModeCall, Timeouts: router.InheritAll(),
					Answer: &router.Members{Methods: []string{"process_blob"}}, // and no cluster
				})
			},
		})
		for _, d := range dialects {
			c := r.dial(pyrotest.Client{Dialect: d})
			m, err := c.Connect("dispatcher")
			if err != nil || !strings.Contains(string(m.Data), "process_blob") {
				t.Fatalf("%+v %q, %v", m.Head, m.Data, err)
			}
			if m, err := c.Do(blobCall(c, "topic", []byte("data"))); err != nil || m.Head.Has(wire.Exception) {
				t.Errorf("%+v %q, %v", m.Head, m.Data, err)
			}
			if m, err := c.Call([]byte("plain")); err != nil || !strings.Contains(string(m.Data), "PyroError") ||
				!strings.Contains(string(m.Data), "only calls with a blob") {
				t.Errorf("%+v %q, %v", m.Head, m.Data, err)
			}
			noError(t, c.Ping())
		}
		if n := a.count("A l0.process_blob 4"); n != 2 {
			t.Errorf("heard %d", n)
		}
	})
}
