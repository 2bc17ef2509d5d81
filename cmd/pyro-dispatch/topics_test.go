package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/topics"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// newTestBoard makes the topics of a fleet with no more than that. Nothing runs.
func newTestBoard(t *testing.T, settings string) *fleet {
	t.Helper()
	f, err := newFleet(loaded(t, "listeners: [{name: main, address: ':9999'}]\n"+settings), metrics.New(metrics.Build{}), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return f
}

// nearby calls the registry from the network in which listeners are.
var nearby = control.Caller{
	Local: netip.MustParseAddrPort("10.0.0.1:9999"), Remote: netip.MustParseAddrPort("10.0.0.7:40000"), Dialect: wire.V48,
}

// ask calls the registry, and gives what is raised.
func (b *board) ask(t *testing.T, method string, topic, uri values.Value) string {
	t.Helper()
	_, err := b.registry.Call(t.Context(), nearby, method, []values.Value{topic, uri}, nil)
	var raised *values.Exception
	if errors.As(err, &raised) {
		return fmt.Sprintf("%s: %v", raised.Class, raised.Args[0])
	} else if err != nil {
		t.Fatal(err)
	}
	return ""
}

// reached are the endpoints of the listeners' cluster that are there.
func (b *board) reached() string {
	var at []string
	for _, e := range b.listeners.Status().Endpoints {
		if e.State != "removed" {
			at = append(at, e.Address+"/"+e.Dialect)
		}
	}
	return strings.Join(at, " ")
}

// TestTopicListeners: where a listener is becomes an endpoint, once for all of its
// topics and until it listens to none; the metrics count along.
func TestTopicListeners(t *testing.T) {
	f := newTestBoard(t, "topics: {object: lab.topics, max_topics: 2, max_listeners: 2}\n")
	b := f.board
	for _, step := range []struct {
		method         string
		topic, uri     values.Value
		raised         string
		reached        string
		topics, of, on float64 // the most listeners of one
	}{
		{"register", "a", "PYRO:x@10.0.0.7:1", "", "10.0.0.7:1/pyro4", 1, 1, 1},
		{"register", "a", "PYRO:x@10.0.0.7:1", "", "10.0.0.7:1/pyro4", 1, 1, 1},
		{"register", int64(2), "PYRO:x@10.0.0.7:1", "", "10.0.0.7:1/pyro4", 2, 2, 1},
		{"register", "a", "PYRO:y@10.0.0.8:1", "", "10.0.0.7:1/pyro4 10.0.0.8:1/pyro4", 2, 3, 2},
		{"register", "a", "PYRO:z@10.0.0.9:1", "has 2 listeners already", "10.0.0.7:1/pyro4 10.0.0.8:1/pyro4", 2, 3, 2},
		{"register", "b", "PYRO:z@10.0.0.9:1", "there are 2 topics already", "10.0.0.7:1/pyro4 10.0.0.8:1/pyro4", 2, 3, 2},
		{"register", int64(2), "PYRO:z@8.8.8.8:1", "builtins.PermissionError", "10.0.0.7:1/pyro4 10.0.0.8:1/pyro4", 2, 3, 2},
		{"register", int64(2), "PYRO:z@127.0.0.1:1", "builtins.PermissionError", "10.0.0.7:1/pyro4 10.0.0.8:1/pyro4", 2, 3, 2},
		{"register", int64(2), "PYRO:z@./u:/s", "builtins.PermissionError", "10.0.0.7:1/pyro4 10.0.0.8:1/pyro4", 2, 3, 2},
		{"unregister", "a", "PYRO:x@10.0.0.7:1", "", "10.0.0.7:1/pyro4 10.0.0.8:1/pyro4", 2, 2, 1},
		{"unregister", int64(2), "PYRO:x@10.0.0.7:1", "", "10.0.0.8:1/pyro4", 1, 1, 1},
		{"unregister", "a", "PYRO:y@10.0.0.8:1", "", "", 0, 0, 0},
	} {
		what := fmt.Sprintf("%s %v %v", step.method, step.topic, step.uri)
		if raised := b.ask(t, step.method, step.topic, step.uri); !strings.Contains(raised, step.raised) || step.raised == "" && raised != "" {
			t.Fatalf("%s: %q is raised, want %q", what, raised, step.raised)
		}
		if got := b.reached(); got != step.reached {
			t.Errorf("%s: the endpoints are %q, want %q", what, got, step.reached)
		}
		wantGathered(t, f.set, map[[3]string]float64{
			{"topics"}: step.topics, {"topic_listeners"}: step.of, {"topic_listeners_most"}: step.on,
			{"topics_limit"}: 2, {"topic_listeners_limit"}: 2,
		})
	}
}

// TestTopicsRegistry: the registry is reached at the clients' port, and knows where they
// call from; its calls count as those of its own route.
func TestTopicsRegistry(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	r := startPublic(t, "listeners: [{name: main, address: '127.0.0.1:0'}]\ntopics: lab.topics\n")
	c := caller(t, portOf(r.opened[0]), "lab.topics")
	// Where a client on this machine may be, but none elsewhere.
	if _, err := c.Call(t.Context(), "register", []values.Value{"a", "PYRO:x@127.0.0.1:1"}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := c.Call(t.Context(), "topics", nil, nil)
	if want := (values.Dict{{Key: "a", Value: values.List{"PYRO:x@127.0.0.1:1"}}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("topics() gives %v (%v), want %v", got, err, want)
	}
	if _, err := c.Call(t.Context(), "register", []values.Value{"a", "PYRO:x@8.8.8.8:1"}, nil); err == nil {
		t.Error("a listener may be anywhere")
	}
	c.Close()
	pyrotest.WaitZero(t, "sessions", func() float64 { return gathered(t, r.set, "sessions", "main") })
	wantGathered(t, r.set, map[[3]string]float64{
		{"calls_total", ownCluster, "ok"}: 2, {"calls_total", ownCluster, "exception"}: 1, {"calls_in_flight"}: 0,
		{"topic_listeners"}: 1,
	})
}

// TestTopicPlaces: blobs go to the topic's own listeners, and never to the registry.
func TestTopicPlaces(t *testing.T) {
	b := newTestBoard(t, "topics: lab.topics\n").board
	for _, r := range [][2]values.Value{
		{"2", "PYRO:text@10.0.0.7:1"}, {int64(2), "PYRO:number@10.0.0.7:1"},
		{"2", "PYRO:lab.topics@10.0.0.9:9999"},
	} {
		if raised := b.ask(t, "register", r[0], r[1]); raised != "" {
			t.Fatal(raised)
		}
	}
	for info, want := range map[blob.Scalar][]string{
		blob.TextScalar("2"): {"text"}, blob.IntScalar(2): {"number"}, blob.TextScalar("3"): nil,
	} {
		var got []string
		places, known := b.places(info)
		if !known {
			t.Errorf("of %v it is not known who listens", info)
		}
		for _, p := range places {
			got = append(got, p.Object)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v goes to %v, want %v", info, got, want)
		}
	}
}

// TestTopicsSurvive: with a file, a restart loses no listener; but one that may no longer
// be where it is gets no connection, though it is there by a name.
func TestTopicsSurvive(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	const object = "state_dir: %q\ntopics: {object: lab.topics, allow: [%s]}\n"
	dir := t.TempDir()
	f := newTestBoard(t, fmt.Sprintf(object, dir, "127.0.0.0/8, '::1/128', 10.0.0.0/8"))
	for _, uri := range []string{"PYRO:x@10.0.0.7:1", "PYRO:x@127.0.0.1:1", "PYRO:x@localhost:" + port} {
		if raised := f.board.ask(t, "register", "a", uri); raised != "" {
			t.Fatal(raised)
		}
	}
	byName := "localhost:" + port
	c, err := f.board.DialContext(t.Context(), "tcp", byName)
	if err != nil {
		t.Fatalf("where it is allowed: %v", err)
	}
	c.Close()
	f.close()

	f = newTestBoard(t, fmt.Sprintf(object, dir, "10.0.0.0/8"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.board.registry.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	pyrotest.WaitFor(t, "the store has been read", func() bool { return len(f.board.registry.All()) == 2 })
	if got, want := f.board.reached(), "10.0.0.7:1/pyro4 "+byName+"/pyro4"; got != want {
		t.Errorf("the endpoints are %q, want %q", got, want)
	}
	if _, err := f.board.DialContext(t.Context(), "tcp", byName); !errors.Is(err, topics.ErrNotAllowed) {
		t.Errorf("where it is not allowed any more: %v", err)
	}
}

// TestTopicsAge: a listener that cannot be reached for forget_after is dropped, with its
// endpoint; one that is not known to be down stays.
func TestTopicsAge(t *testing.T) {
	for _, c := range []struct {
		name, forget string
		checked      bool // the listeners' cluster runs, and finds nobody there
		stays        bool
	}{
		{"down", "1h", true, false},
		{"not known to be down", "1h", false, true},
		{"never", "0s", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newTestBoard(t, "topics: {object: lab.topics, allow_unix: true, forget_after: "+c.forget+"}\n")
				b := f.board
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					if c.checked {
						b.run(ctx)
						return
					}
					go b.registry.Run(ctx)
					b.age(ctx)
				}()
				synctest.Wait()
				if raised := b.ask(t, "register", "a", "PYRO:x@./u:/nowhere"); raised != "" {
					t.Fatal(raised)
				}
				time.Sleep(59 * time.Minute)
				synctest.Wait()
				if len(b.registry.All()) != 1 || b.reached() == "" {
					t.Error("it is dropped too early")
				}
				time.Sleep(48 * time.Hour)
				synctest.Wait()
				if there := len(b.registry.All()) == 1; there != c.stays || there != (b.reached() != "") {
					t.Errorf("registered: %v, endpoints: %q", there, b.reached())
				}
				left := 0.0
				if c.stays {
					left = 1
				}
				wantGathered(t, f.set, map[[3]string]float64{{"topics"}: left, {"topic_listeners"}: left, {"topic_listeners_most"}: left})
				cancel()
				<-ended
				synctest.Wait()
			})
		})
	}
}

// TestTopicsAgeFromDown: the time of a listener that was there for long begins when it goes
// down, not when it registered.
func TestTopicsAgeFromDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBoard(t, "topics: {object: lab.topics, allow_unix: true, forget_after: 1h}\n").board
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { b.registry.Run(ctx) })
		running.Go(func() { b.age(ctx) })
		synctest.Wait()
		if raised := b.ask(t, "register", "a", "PYRO:x@./u:/nowhere"); raised != "" {
			t.Fatal(raised)
		}
		time.Sleep(48 * time.Hour)
		running.Go(func() { b.listeners.Run(ctx) }) // finds nobody there
		for _, c := range []struct {
			after time.Duration
			there int
		}{{50 * time.Minute, 1}, {20 * time.Minute, 0}} {
			time.Sleep(c.after)
			synctest.Wait()
			if n := len(b.registry.All()); n != c.there {
				t.Errorf("%v later %d listeners are registered, want %d", c.after, n, c.there)
			}
		}
	})
}
