package control_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A form is how a client speaks: every one that objects are served in.
type form struct {
	d wire.Dialect
	s wire.Serializer
}

func (f form) String() string { return f.d.String() + " " + f.s.String() }

func (f form) codec(t testing.TB) values.Codec {
	t.Helper()
	c, ok := values.For(f.d, f.s)
	if !ok {
		t.Fatalf("no codec for %s", f)
	}
	return c
}

func forms() (all []form) {
	for _, d := range []wire.Dialect{wire.V48, wire.V502} {
		for _, s := range []wire.Serializer{wire.Serpent, wire.JSON, wire.Marshal, wire.Msgpack} {
			all = append(all, form{d, s})
		}
	}
	return all
}

// inEach runs a test in every form.
func inEach(t *testing.T, test func(t *testing.T, f form)) {
	for _, f := range forms() {
		t.Run(f.String(), func(t *testing.T) { test(t, f) })
	}
}

// lab is an object for tests.
type lab struct {
	mu    sync.Mutex
	notes []values.Value
	from  control.Caller
	// began tells that wait was called; wait ends with its context, and hold ignores
	// that until held is closed.
	began chan struct{}
	held  chan struct{}
}

func newLab() *lab {
	return &lab{began: make(chan struct{}, 10), held: make(chan struct{})}
}

func (*lab) Members() control.Members {
	return control.Members{
		Methods: []string{"echo", "naming", "broken", "panics", "note", "notes", "wait", "hold", "odd", "oddly"},
		Oneway:  []string{"note"},
		Attrs:   []string{"colour"},
		Class:   "Lab",
	}
}

func (l *lab) Call(ctx context.Context, from control.Caller, method string, args []values.Value, kwargs values.Dict) (values.Value, error) {
	l.mu.Lock()
	l.from = from
	l.mu.Unlock()
	switch method {
	case "echo":
		return values.List{values.List(args), kwargs}, nil
	case "naming":
		return nil, &values.Exception{Class: "errors.NamingError", Args: []values.Value{"unknown name: x"}}
	case "broken":
		return nil, errors.New("the disk is full of secrets")
	case "panics":
		panic("a secret")
	case "note":
		l.mu.Lock()
		defer l.mu.Unlock()
		l.notes = append(l.notes, args...)
		return nil, nil
	case "notes":
		l.mu.Lock()
		defer l.mu.Unlock()
		return values.List(l.notes), nil
	case "wait":
		l.began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	case "hold":
		l.began <- struct{}{}
		<-l.held
		return "held", nil
	case "odd":
		return make(chan int), nil // no serializer has a form for it
	case "oddly":
		return nil, &values.Exception{Class: "builtins.ValueError", Args: []values.Value{make(chan int)}}
	case "__getattr__":
		return "green", nil
	case "__setattr__":
		return nil, nil
	}
	return nil, fmt.Errorf("no method %q", method)
}

// rig is a daemon on an in-memory network.
type rig struct {
	t       *testing.T
	network *pyrotest.Network
	daemon  *control.Daemon
	lab     *lab
	logs    *observer.ObservedLogs
	end     context.CancelFunc // ends Serve
	over    chan error         // gets what it returned

	mu     sync.Mutex
	events []control.CallEvent
}

const address = "192.0.2.1:9999"

// start serves a lab as "lab", and ends with the test.
func start(t *testing.T, c control.Config) *rig {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	r := &rig{t: t, network: &pyrotest.Network{}, lab: newLab(), logs: logs, over: make(chan error, 1)}
	c.Log = zap.New(core)
	c.Observe = func(e control.CallEvent) {
		r.mu.Lock()
		defer r.mu.Unlock()
		e.Duration = 0
		r.events = append(r.events, e)
	}
	c.Lookup = func(id string) (control.Object, bool) { return r.lab, id == "lab" }
	c.Registered = func() []string { return []string{"lab"} }
	r.daemon = control.New(c)
	l, err := r.network.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.end = cancel
	served := make(chan struct{})
	go func() {
		defer close(served)
		r.over <- r.daemon.Serve(ctx, l, "inside")
	}()
	t.Cleanup(func() {
		cancel()
		<-served
	})
	return r
}

func (r *rig) dial(f form) *peer {
	r.t.Helper()
	return &peer{
		Client: pyrotest.DialClient(r.t, r.network, address, pyrotest.Client{Dialect: f.d, Serializer: f.s}),
		t:      r.t, form: f, codec: f.codec(r.t),
	}
}

// connected is dial with a CONNECT that was accepted.
func (r *rig) connected(f form) *peer {
	r.t.Helper()
	p := r.dial(f)
	if _, err := p.Connect("lab"); err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *rig) outcomes() (all []control.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		all = append(all, e.Outcome)
	}
	return all
}

// peer is a client that can serialize.
type peer struct {
	*pyrotest.Client
	t     *testing.T
	form  form
	codec values.Codec
}

// invocation is the INVOKE of a call.
func (p *peer) invocation(object, method string, args []values.Value, kwargs values.Dict) pyrotest.Message {
	p.t.Helper()
	data, err := p.codec.AppendCall(nil, values.Call{Object: object, Method: method, Args: args, Kwargs: kwargs})
	if err != nil {
		p.t.Fatal(err)
	}
	return p.InvokeMessage(data)
}

// do sends a message and decodes the answer.
func (p *peer) do(m pyrotest.Message) (values.Value, error) {
	p.t.Helper()
	reply, err := p.Do(m)
	if err != nil {
		p.t.Fatal(err)
	}
	v, err := p.codec.Decode(reply.Data, values.DefaultLimits())
	if err != nil {
		p.t.Fatalf("%v in %q", err, reply.Data)
	}
	if !reply.Head.Has(wire.Exception) {
		return v, nil
	}
	e, ok := v.(*values.Exception)
	if !ok {
		p.t.Fatalf("raised a %T: %q", v, reply.Data)
	}
	return nil, e
}

func (p *peer) call(method string, args ...values.Value) (values.Value, error) {
	p.t.Helper()
	return p.do(p.invocation("lab", method, args, nil))
}
