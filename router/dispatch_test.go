package router_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// dispatch is a session of a client that we answer ourselves, whose calls have one more
// route.
type dispatch struct {
	*testing.T
	messages
	session *router.Session
	cluster *backend.Cluster
	route   *router.Route
	env     *router.Env
}

type nobody struct{}

func (nobody) CallFailed(router.FailedCall) {}
func (nobody) StreamTimedOut(string)        {}
func (nobody) Circle(router.FoundCircle)    {}

// newDispatch connects a client. members are those of the call route's cluster.
func newDispatch(t *testing.T, d wire.Dialect, members []backend.Member, change func(*router.Route)) *dispatch {
	t.Helper()
	w := newWorld(1)
	w.answers = welcomes
	route := &router.Route{
		Name: "blobs", Calls: w.set.Calls("blobs", "topics"), Mode: router.ModeCall, Timeouts: clusters,
		Call: &router.CallMatch{Blob: true}, Policy: router.Policy{Preserve: true},
	}
	route.Cluster = backend.NewCluster(backend.Config{
		Name: "topics", Members: members, Dialer: answering{dialer{}, w}, Metrics: w.set, Retries: -1,
		Adopt: func(c *backend.Conn) { c.Reader = c }, ConnectTimeout: answerTime,
	})
	change(route)
	table := router.NewTable([]*router.Route{
		{Name: "ours", Calls: w.set.Calls("ours", ""), Mode: router.ModeCall, Answer: &router.Members{Methods: []string{"m"}}}, route,
	})
	w.env.Table = func() *router.Table { return table }
	w.env.Limits.Delivery = 2048
	x := &dispatch{
		T: t, messages: messages{d}, cluster: route.Cluster, route: route, env: &w.env,
		session: router.New(&w.env, netip.MustParseAddr("198.51.100.7"), nobody{}, start),
	}
	x.session.Data(start, router.Client, x.connect())
	if m := x.told(); m.Head.Type != wire.ConnectOK {
		t.Fatalf("answered with %+v", m.Head)
	}
	return x
}

// told is what the client was sent last, as a message; the zero value where nothing was.
func (x *dispatch) told() (m pyrotest.Message) {
	x.Helper()
	for _, a := range x.session.Actions() {
		if a.Op == router.Send {
			var err error
			if m, err = pyrotest.ReadMessage(bytes.NewReader(a.Bytes)); err != nil {
				x.Fatal(err)
			}
		}
	}
	x.session.Sent(start, router.Client)
	return m
}

// call is a call with a blob about info, and annotations.
func (x *dispatch) blob(annotation []byte, more ...wire.Chunk) pyrotest.Message {
	m := x.message(wire.Invoke, 25, wire.KeepSerialized)
	m.Chunks = append(more, wire.Chunk{ID: wire.ChunkBlob, Value: annotation})
	return m
}

func about(info string) []byte {
	return blob.AppendNew(nil, blob.TextScalar(info), "dispatcher", "process_blob")
}

// gives shows the session the request.
func (x *dispatch) gives(b []byte) *router.Delivery {
	return x.session.Data(start, router.Client, b).Delivery
}

func at(i int, object string) backend.Member {
	return backend.Member{Address: endpoint(i), Object: object}
}

// TestCallMatch: which calls take a route of their own.
func TestCallMatch(t *testing.T) {
	// marshal.dumps(({"tenant": "acme", "n": 7}, "camera.1", "shoot"), 2)
	structured := []byte("(\x03\x00\x00\x00{u\x06\x00\x00\x00tenantu\x04\x00\x00\x00acmeu\x01\x00\x00\x00ni\x07\x00\x00\x000" +
		"u\x08\x00\x00\x00camera.1u\x05\x00\x00\x00shoot")
	tent := wire.Chunk{ID: [4]byte{'T', 'E', 'N', 'T'}, Value: []byte("acme")}
	field := func(f router.FieldMatch) router.CallMatch { return router.CallMatch{Fields: []router.FieldMatch{f}} }
	path := func(s string) blob.Path {
		p, err := blob.ParsePath(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	tests := []struct {
		name  string
		match router.CallMatch
		blob  []byte
		more  []wire.Chunk
		want  bool
	}{
		{"any blob", router.CallMatch{Blob: true}, about("x"), nil, true},
		{"info", field(router.FieldMatch{Globs: globs(t, "a", "x*")}), about("xyz"), nil, true},
		{"other info", field(router.FieldMatch{Globs: globs(t, "a", "x*")}), about("yz"), nil, false},
		{"a dict is no text", field(router.FieldMatch{Globs: globs(t, "*")}), structured, nil, false},
		{"path", field(router.FieldMatch{Path: path("info.tenant"), Globs: globs(t, "acme")}), structured, nil, true},
		{"no such path", field(router.FieldMatch{Path: path("info.x"), Globs: globs(t, "*")}), structured, nil, false},
		{"number", field(router.FieldMatch{Path: path("info.n"), Numbers: []blob.Scalar{blob.IntScalar(6), blob.IntScalar(7)}}), structured, nil, true},
		{"other number", field(router.FieldMatch{Path: path("info.n"), Numbers: []blob.Scalar{blob.IntScalar(8)}}), structured, nil, false},
		{"a number is no text", field(router.FieldMatch{Path: path("info.n"), Globs: globs(t, "7")}), structured, nil, false},
		{"object", field(router.FieldMatch{Field: router.ObjectField, Globs: globs(t, "camera.*")}), structured, nil, true},
		{"other object", field(router.FieldMatch{Field: router.ObjectField, Globs: globs(t, "camera")}), structured, nil, false},
		{"method", field(router.FieldMatch{Field: router.MethodField, Globs: globs(t, "shoot")}), structured, nil, true},
		{"not the method", router.CallMatch{Blob: true, NotMethods: []string{"register", "shoot"}}, structured, nil, false},
		{"another method", router.CallMatch{Blob: true, NotMethods: []string{"register"}}, structured, nil, true},
		{"annotation", router.CallMatch{Annotations: []router.AnnotationMatch{{ID: tent.ID, Globs: globs(t, "ac*")}}}, about("x"), []wire.Chunk{tent}, true},
		{"other annotation", router.CallMatch{Annotations: []router.AnnotationMatch{{ID: tent.ID, Globs: globs(t, "b*")}}}, about("x"), []wire.Chunk{tent}, false},
		{"no annotation", router.CallMatch{Annotations: []router.AnnotationMatch{{ID: tent.ID, Globs: globs(t, "*")}}}, about("x"), nil, false},
		{"both", router.CallMatch{Blob: true, Annotations: []router.AnnotationMatch{{ID: tent.ID, Globs: globs(t, "acme")}}}, about("x"), []wire.Chunk{tent}, true},
	}
	for _, d := range dialects {
		for _, tt := range tests {
			t.Run(fmt.Sprint(d, " ", tt.name), func(t *testing.T) {
				x := newDispatch(t, d, []backend.Member{at(1, "")}, func(r *router.Route) { r.Call = &tt.match })
				if got := x.gives(x.blob(tt.blob, tt.more...).Bytes()) != nil; got != tt.want {
					t.Errorf("dispatched: %v", got)
				}
			})
		}
	}
}

// TestUndelivered: what our own object says to calls that are not dispatched.
func TestUndelivered(t *testing.T) {
	none := func(*router.Route) {}
	tests := []struct {
		name   string
		change func(*router.Route)
		call   func(x *dispatch) []byte
		want   string
	}{
		{"left over", none, func(x *dispatch) []byte {
			m := x.blob(about("x"))
			m.Head.Flags &^= x.d.Bit(wire.KeepSerialized)
			return m.Bytes()
		}, router.ErrNotHere.Error()},
		{"plain", none, func(x *dispatch) []byte { return x.invoke() }, router.ErrNotHere.Error()},
		{"malformed", none, func(x *dispatch) []byte { return x.blob([]byte("(\x03\x00")).Bytes() }, router.ErrBlob.Error()},
		{"malformed for others", func(r *router.Route) { r.Objects = globs(t, "other") },
			func(x *dispatch) []byte { return x.blob([]byte("(\x03\x00")).Bytes() }, router.ErrNotHere.Error()},
		{"large", none, func(x *dispatch) []byte {
			m := x.blob(about("x"))
			m.Data = make([]byte, 3000)
			return m.Bytes()
		}, router.ErrTooLarge.Error()},
		{"nobody", func(r *router.Route) {
			r.Deliver.Listeners = func(blob.Scalar) ([]backend.Place, bool) {
				return []backend.Place{{Address: endpoint(9), Object: "x"}}, true
			}
		}, func(x *dispatch) []byte { return x.blob(about("x")).Bytes() }, router.ErrNoListener.Error()},
		{"too few", func(r *router.Route) { r.Deliver.To, r.Deliver.Quorum = router.ToAll, 2 },
			func(x *dispatch) []byte { return x.blob(about("x")).Bytes() }, router.ErrQuorum.Error()},
		{"no name", func(r *router.Route) { r.Deliver.Object = template(t, "{info}") },
			func(x *dispatch) []byte { return x.blob(about("")).Bytes() }, "no name for the call"},
		{"nobody is fine", func(r *router.Route) {
			r.Deliver.Unheard, r.Deliver.Listeners = true, nobodyListens(true)
		}, func(x *dispatch) []byte { return x.blob(about("x")).Bytes() }, "None"},
	}
	for _, d := range dialects {
		for _, tt := range tests {
			t.Run(fmt.Sprint(d, " ", tt.name), func(t *testing.T) {
				x := newDispatch(t, d, []backend.Member{at(1, "")}, tt.change)
				b := tt.call(x)
				taken := x.session.Data(start, router.Client, b)
				if taken.Delivery != nil || taken.Forward != 0 || taken.Consumed != len(b) {
					t.Errorf("taken %+v", taken)
				}
				m := x.told()
				if m.Head.Type != wire.Result || m.Head.Has(wire.Exception) != (tt.want != "None") || !bytes.Contains(m.Data, []byte(tt.want)) {
					t.Errorf("told %+v %q", m.Head, m.Data)
				}
				if x.session.State() != router.Idle {
					t.Errorf("%s afterwards", x.session.State())
				}
			})
		}
	}
}

func template(t *testing.T, text string) *blob.Template {
	made, err := blob.ParseTemplate(text)
	if err != nil {
		t.Fatal(err)
	}
	return &made
}
