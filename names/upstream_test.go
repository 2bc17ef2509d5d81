package names

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// nameServer is an upstream name server, and how it fails.
type nameServer struct {
	*Server
	dialect wire.Dialect
	json    bool      // answers have gone through JSON
	down    time.Time // until when dialling fails
	dials   int
	open    []*remote
	calls   []string
	during  func(method string) error // after which the connection breaks
}

func (n *nameServer) dial(context.Context) (Remote, error) {
	n.dials++
	if time.Now().Before(n.down) {
		return nil, errors.New("refused")
	}
	r := &remote{n: n}
	n.open = append(n.open, r)
	return r, nil
}

// restart breaks all connections.
func (n *nameServer) restart() {
	for _, r := range n.open {
		r.broken = true
	}
}

type remote struct {
	n              *nameServer
	broken, closed bool
}

var errReset = errors.New("connection reset")

func (r *remote) Call(ctx context.Context, method string, args []values.Value, kwargs values.Dict) (values.Value, error) {
	if r.broken || r.closed {
		return nil, errReset
	}
	r.n.calls = append(r.n.calls, method)
	if r.n.during != nil {
		if err := r.n.during(method); err != nil {
			return nil, err
		}
	}
	v, err := r.n.Server.Call(ctx, asker(r.n.dialect), method, args, kwargs)
	if r.n.json {
		v = throughJSON(v)
	}
	return v, err
}

func (r *remote) Close() error { r.closed = true; return nil }

// throughJSON makes lists of tuples and sets.
func throughJSON(v values.Value) values.Value {
	all := func(list []values.Value) (l values.List) {
		for _, item := range list {
			l = append(l, throughJSON(item))
		}
		return l
	}
	switch v := v.(type) {
	case values.Tuple:
		return all(v)
	case values.Set:
		return all(v)
	case values.List:
		return all(v)
	case values.Dict:
		d := values.Dict{}
		for _, p := range v {
			d = append(d, values.Pair{Key: p.Key, Value: throughJSON(p.Value)})
		}
		return d
	}
	return v
}

// TestAnswersThroughUpstream has the recorded calls answered through an upstream name
// server of either library.
func TestAnswersThroughUpstream(t *testing.T) {
	for _, upstream := range []wire.Dialect{wire.V48, wire.V502} {
		for _, asJSON := range []bool{false, true} {
			var s *Server
			lines(t, "testdata/calls.jsonl.gz", func(n int, line []byte) {
				var step recordedStep
				must(t, json.Unmarshal(line, &step))
				if step.New {
					far := &nameServer{Server: recordedServer(), dialect: upstream, json: asJSON}
					s = NewServer(NewUpstream(far.dial, UpstreamConfig{Dialect: upstream}), Config{
						Advertise: func(control.Caller) Advertise { return Advertise{Host: "own", Port: 9090} },
					})
					return
				}
				got, err := step.call(t, s)
				if step.Error != nil {
					if want := step.Error[0] + ": " + step.Error[1]; described(err) != want {
						t.Errorf("upstream %v, line %d: %s\n got %s\nwant %s", upstream, n, line, described(err), want)
					}
					return
				}
				// The upstream name server's own entry has its own metadata.
				told := canonical(got)
				if upstream != step.Dialect {
					told = strings.NewReplacer(ownMetadata4, ownMetadata5, ownMetadata5, ownMetadata4).Replace(told)
				}
				want := canonical(unrecord(t, step.Result))
				if err == nil && told != want && step.Method == "lookup" {
					told = canonical(got) // which we answer for ourselves
				}
				if err != nil || told != want {
					t.Errorf("upstream %v, line %d: %s\n got %s, %v\nwant %s", upstream, n, line, told, err, want)
				}
			})
		}
	}
}

func TestUpstreamComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &nameServer{Server: recordedServer(), dialect: wire.V502, down: time.Now().Add(time.Hour)}
		u := NewUpstream(far.dial, UpstreamConfig{Wait: 4 * time.Second})
		defer u.Close()
		s := NewServer(u, Config{})
		from := asker(wire.V48)
		start := time.Now()
		if _, err := call(s, from, "count"); described(err) != "errors.NamingError: the name server behind this one cannot be reached" {
			t.Error(err)
		}
		if waited := time.Since(start); waited != 4*time.Second {
			t.Errorf("waited %v", waited)
		}
		if far.dials != 6 { // at 0, 0.1, 0.3, 0.7, 1.5 and 3.1 s
			t.Errorf("%d dials", far.dials)
		}
		far.down = time.Now().Add(time.Second)
		v, err := call(s, from, "count")
		expect(t, v, err, int64(1))
		far.restart()
		v, err = call(s, from, "count") // asked again on a new connection
		expect(t, v, err, int64(1))
		far.restart()
		_, err = call(s, from, "register", "n", "PYRO:o@h:1", true)
		must(t, err)
		if _, err = call(s, from, "register", "n", "PYRO:o@h:1", true); described(err) != "errors.NamingError: name already registered: n" {
			t.Error(err)
		}
		if n := len(far.open); n != 3 {
			t.Errorf("%d connections; an exception is no reason for a new one", n)
		}
	})
}

func TestChangesAreNotMadeTwice(t *testing.T) {
	far := &nameServer{Server: recordedServer(), dialect: wire.V502}
	s := NewServer(NewUpstream(far.dial, UpstreamConfig{}), Config{})
	_, err := call(s, asker(wire.V502), "count")
	must(t, err)
	far.during = func(method string) error {
		if method == "register" {
			return errReset
		}
		return nil
	}
	if _, err := call(s, asker(wire.V502), "register", "n", "PYRO:o@h:1"); described(err) != "errors.NamingError: the name server behind this one cannot be reached" {
		t.Error(err)
	}
	if want := []string{"count", "ping", "register"}; !slices.Equal(far.calls, want) {
		t.Errorf("calls: %q", far.calls)
	}
	if !far.open[0].closed {
		t.Error("the broken connection is open")
	}
}

func TestUpstreamKeepsProtectedNames(t *testing.T) {
	far := &nameServer{Server: recordedServer(), dialect: wire.V48}
	u := NewUpstream(far.dial, UpstreamConfig{Dialect: wire.V48})
	s := NewServer(u, Config{Protected: []string{"keep"}, Exposer: &exposer{}})
	from := asker(wire.V502)
	ctx := context.Background()
	for _, name := range []string{"keep", "kept"} {
		must(t, u.register(ctx, reg(name, "m"), false))
	}
	v, err := call(s, from, "yplookup", values.List{"m"})
	told := values.Tuple{"PYRO:o@gate-names:7000", values.Set{"m"}}
	expect(t, v, err, named("keep", told, "kept", told))
	v, err = call(s, from, "remove", nil, "ke")
	expect(t, v, err, int64(1))
	if _, err = call(s, from, "remove", "keep"); described(err) != "errors.NamingError: name is protected: keep" {
		t.Error(err)
	}
}

func TestStrangeAnswers(t *testing.T) {
	for _, answer := range []values.Value{nil, "x", int64(1), values.List{}, values.Tuple{"PYRO:o@h:1"}, values.Tuple{int64(5), nil}, named("a", "b", int64(5), nil)} {
		dial := func(context.Context) (Remote, error) { return fixedRemote{answer}, nil }
		s := NewServer(NewUpstream(dial, UpstreamConfig{}), Config{})
		for _, m := range []string{"lookup", "list", "count", "remove", "register", "set_metadata", "ping"} {
			args := map[string][]values.Value{"lookup": {"n"}, "remove": {"n"}, "register": {"n", "PYRO:o@h:1"}, "set_metadata": {"n", nil}}[m]
			if _, err := call(s, asker(wire.V48), m, args...); err != nil && broken(err) {
				t.Errorf("%s, %v: %v", m, answer, err)
			}
		}
	}
}

type fixedRemote struct{ answer values.Value }

func (f fixedRemote) Call(context.Context, string, []values.Value, values.Dict) (values.Value, error) {
	return f.answer, nil
}
