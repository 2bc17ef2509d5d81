package topics

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// nearby is a caller in the dispatcher's network.
var nearby = control.Caller{
	Local:   netip.MustParseAddrPort("10.0.0.1:9999"),
	Remote:  netip.MustParseAddrPort("10.0.0.7:40000"),
	Dialect: wire.V48,
}

// call calls a method as a client does, and gives the class and text of what is raised.
func call(t *testing.T, r *Registry, from control.Caller, method string, args ...values.Value) (values.Value, string) {
	t.Helper()
	v, err := r.Call(t.Context(), from, method, args, nil)
	if err == nil {
		return v, ""
	}
	var raised *values.Exception
	if !errors.As(err, &raised) {
		t.Fatalf("%s: %v is no exception of Python's", method, err)
	}
	return nil, fmt.Sprintf("%s: %v", raised.Class, raised.Args[0])
}

// register registers a listener that must be accepted.
func register(t *testing.T, r *Registry, topic values.Value, uri string) {
	t.Helper()
	if v, raised := call(t, r, nearby, "register", topic, uri); raised != "" || v != nil {
		t.Fatalf("register(%v, %s): %v, %s", topic, uri, v, raised)
	}
}

func unregister(t *testing.T, r *Registry, topic values.Value, uri string) {
	t.Helper()
	if v, raised := call(t, r, nearby, "unregister", topic, uri); raised != "" || v != nil {
		t.Fatalf("unregister(%v, %s): %v, %s", topic, uri, v, raised)
	}
}

// describe writes listeners as "topic=object@address".
func describe(all []Listener) string {
	var texts []string
	for _, l := range all {
		texts = append(texts, l.Topic.String()+"="+strings.TrimPrefix(l.URI(), "PYRO:"))
	}
	return strings.Join(texts, " ")
}

// run runs a registry until the test ends.
func run(t *testing.T, r *Registry) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// breaking is a store that can be made to fail.
type breaking struct {
	store.Store
	mu   sync.Mutex
	fail error
	// got is called when a Get has its answer.
	got func()
}

func (b *breaking) broken() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fail
}

func (b *breaking) breakWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = err
}

func (b *breaking) All(ctx context.Context) (map[string]store.Entry, error) {
	if err := b.broken(); err != nil {
		return nil, err
	}
	return b.Store.All(ctx)
}

func (b *breaking) Get(ctx context.Context, key string) (store.Entry, error) {
	if err := b.broken(); err != nil {
		return store.Entry{}, err
	}
	e, err := b.Store.Get(ctx, key)
	if b.got != nil {
		b.got()
	}
	return e, err
}

func (b *breaking) Put(ctx context.Context, key string, value []byte, expect uint64) (uint64, error) {
	if err := b.broken(); err != nil {
		return 0, err
	}
	return b.Store.Put(ctx, key, value, expect)
}

func (b *breaking) Delete(ctx context.Context, key string, expect uint64) error {
	if err := b.broken(); err != nil {
		return err
	}
	return b.Store.Delete(ctx, key, expect)
}

func all(t *testing.T, s store.Store) map[string]store.Entry {
	t.Helper()
	all, err := s.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}
