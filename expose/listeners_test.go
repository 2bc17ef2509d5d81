package expose

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// fakeHost is where ports are opened. What happens is noted as "open a 20000".
type fakeHost struct {
	mu     sync.Mutex
	bound  map[string]bool
	taken  map[string]error // by others
	asked  []time.Time
	events []string
	logged *observer.ObservedLogs
}

type fakeListener struct {
	net.Listener
	host *fakeHost
	port string
}

func (l *fakeListener) Close() error {
	l.host.mu.Lock()
	defer l.host.mu.Unlock()
	delete(l.host.bound, l.port)
	return nil
}

func (h *fakeHost) listen(_ context.Context, network, address string) (net.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, time.Now())
	host, port, err := net.SplitHostPort(address)
	if err != nil || network != "tcp" || host != "::1" {
		return nil, fmt.Errorf("asked for %s %s", network, address)
	}
	if h.bound[port] {
		return nil, syscall.EADDRINUSE
	}
	if err := h.taken[port]; err != nil {
		return nil, err
	}
	h.bound[port] = true
	return &fakeListener{host: h, port: port}, nil
}

// give lets others take a port, or, with nil, leave it.
func (h *fakeHost) give(port string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken[port] = err
}

func (h *fakeHost) note(event string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event)
}

func (h *fakeHost) take() []string {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	events := h.events
	h.events = nil
	return events
}

// newFakeHost makes Listeners at one. Its fields may be read while all is at rest.
func newFakeHost(t *testing.T, max int) (*fakeHost, *Listeners) {
	core, logged := observer.New(zapcore.InfoLevel)
	h := &fakeHost{bound: make(map[string]bool), taken: make(map[string]error), logged: logged}
	l := NewListeners(ListenersConfig{
		Host: "::1", Max: max, Listen: h.listen, Log: zap.New(core),
		Open: func(key string, ln net.Listener) {
			h.note("open " + key + " " + ln.(*fakeListener).port)
		},
		Close: func(key string) { h.note("close " + key) },
	})
	t.Cleanup(l.Close)
	return h, l
}

// TestSync: listeners follow what is wanted.
func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newFakeHost(t, 0)
		steps := []struct {
			want   map[string]int
			events []string
		}{
			{nil, nil},
			{map[string]int{"a": 20000, "b": 20001}, []string{"open a 20000", "open b 20001"}},
			{map[string]int{"a": 20000, "b": 20001}, nil},
			{map[string]int{"a": 20001, "b": 20000}, []string{"close a", "close b", "open a 20001", "open b 20000"}},
			{map[string]int{"b": 20000, "c": 20001}, []string{"close a", "open c 20001"}},
			{map[string]int{"b": 0}, []string{"close b", "close c"}},
			{map[string]int{"b": 20000}, []string{"open b 20000"}},
		}
		for i, step := range steps {
			l.Sync(step.want)
			if diff := cmp.Diff(step.events, h.take()); diff != "" {
				t.Errorf("step %d (-want +got):\n%s", i, diff)
			}
		}
		if n := len(l.Failures()); n != 0 {
			t.Errorf("%d failures", n)
		}
		l.Close()
		if diff := cmp.Diff([]string{"close b"}, h.take()); diff != "" || len(h.bound) != 0 {
			t.Errorf("closed, %v open (-want +got):\n%s", h.bound, diff)
		}
		l.Sync(map[string]int{"a": 20000})
		l.Close()
		if events := h.take(); len(events) != 0 {
			t.Errorf("after the end: %v", events)
		}
	})
}

// TestTaken: a port that is another's is tried until it can be had, less and less
// often, and no other is opened in its place.
func TestTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newFakeHost(t, 0)
		h.give("20000", &net.OpError{Op: "listen", Err: syscall.EADDRINUSE})
		begin := time.Now()
		l.Sync(map[string]int{"a": 20000, "b": 20001})
		if diff := cmp.Diff([]string{"open b 20001"}, h.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		n := len(h.asked) - 1
		if n < 60 || n > 140 { // half a minute to a minute apart
			t.Errorf("%d attempts in an hour", n)
		}
		failures := l.Failures()
		if len(failures) != 1 || failures[0].Key != "a" || failures[0].Port != 20000 || failures[0].Attempts != n ||
			!failures[0].Since.Equal(begin) || !errors.Is(failures[0].Err, syscall.EADDRINUSE) {
			t.Errorf("failures %+v", failures)
		}
		if n := h.logged.FilterMessageSnippet("somebody else").Len(); n < 5 || n > 7 {
			t.Errorf("logged %d times in an hour", n)
		}
		if events := h.take(); len(events) != 0 {
			t.Errorf("meanwhile: %v", events)
		}
		h.give("20000", errors.New("another reason"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := h.logged.FilterMessageSnippet("cannot be opened").Len(); n != 1 {
			t.Errorf("another reason was logged %d times", n)
		}
		h.give("20000", nil)
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"open a 20000"}, h.take()); diff != "" {
			t.Errorf("free again (-want +got):\n%s", diff)
		}
		if n := h.logged.FilterMessage("a port could be opened after all").Len(); n != 1 || len(l.Failures()) != 0 {
			t.Errorf("the end was logged %d times; failures %v", n, l.Failures())
		}
	})
}

// TestNoLongerWanted: what cannot be opened and is not wanted any more is forgotten.
func TestNoLongerWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newFakeHost(t, 0)
		h.give("20000", syscall.EADDRINUSE)
		l.Sync(map[string]int{"a": 20000, "b": 0, "c": 70000})
		synctest.Wait()
		if n := len(l.Failures()); n != 3 {
			t.Errorf("%d failures, want 3", n)
		}
		l.Sync(map[string]int{"a": 20001})
		if diff := cmp.Diff([]string{"open a 20001"}, h.take()); diff != "" || len(l.Failures()) != 0 {
			t.Errorf("failures %v (-want +got):\n%s", l.Failures(), diff)
		}
		asked := len(h.asked)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if len(h.asked) != asked {
			t.Errorf("%d attempts when all is well", len(h.asked)-asked)
		}
	})
}

// TestBounded: no more listeners than may be, no more lines in the log than are read.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := newFakeHost(t, 3)
		want := make(map[string]int)
		for i := range 100 {
			want[strconv.Itoa(100+i)] = 20000 + i
		}
		l.Sync(want)
		if events := h.take(); len(events) != 3 {
			t.Errorf("opened %v", events)
		}
		if n := h.logged.Len(); n != logAtOnce+1 {
			t.Errorf("%d lines logged", n)
		}
		delete(want, "100")
		l.Sync(want)
		time.Sleep(time.Minute)
		events := h.take()
		if len(events) != 2 || events[0] != "close 100" || !strings.HasPrefix(events[1], "open ") || len(h.bound) != 3 {
			t.Errorf("one less: %v", events)
		}
	})
}

// TestRealPorts: with real sockets.
func TestRealPorts(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := other.Addr().(*net.TCPAddr).Port
	opened, closed, tried := make(chan string, 1), make(chan string, 1), make(chan error, 100)
	l := NewListeners(ListenersConfig{
		Host:  "127.0.0.1",
		Open:  func(key string, ln net.Listener) { opened <- key + " " + ln.Addr().String() },
		Close: func(key string) { closed <- key },
		Listen: func(ctx context.Context, network, address string) (net.Listener, error) {
			ln, err := new(net.ListenConfig).Listen(ctx, network, address)
			tried <- err
			return ln, err
		},
	})
	defer l.Close()
	l.Sync(map[string]int{"a": port})
	if err := <-tried; !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("the port is another's: %v", err)
	}
	other.Close()
	if got, want := <-opened, fmt.Sprintf("a 127.0.0.1:%d", port); got != want {
		t.Errorf("opened %s, want %s", got, want)
	}
	c, err := net.Dial("tcp", other.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	l.Sync(nil)
	if key := <-closed; key != "a" {
		t.Errorf("closed %q", key)
	}
	if len(l.Failures()) != 0 {
		t.Errorf("failures %v", l.Failures())
	}
}
