package integration

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestWeights has endpoints of different weights: each gets its share of the calls.
func TestWeights(t *testing.T) {
	const calls = 1600
	weights := map[string]int{"one": 1, "two": 2, "five": 5}
	var static []string
	for name, weight := range weights {
		static = append(static, fmt.Sprintf("{address: %q, weight: %d}", startDaemon(t, "pyro5", "--name", name).backend(), weight))
	}
	for _, balance := range []string{"round_robin", "least_request"} {
		t.Run(balance, func(t *testing.T) {
			d := startRouted(t, static, "mode: call", "slow_start: 0s, balance: "+balance)
			c := connectFrom(t, "127.0.0.1", d.location, "lab.worker")
			got := map[string]int{}
			for range calls {
				got[c.whoami(t)]++
			}
			for name, weight := range weights {
				p := float64(weight) / 8
				// Five standard deviations of as many draws; to go by turns is better than to draw.
				want, tolerance := calls*p, 5*math.Sqrt(calls*p*(1-p))
				if balance == "round_robin" {
					tolerance = 2
				}
				if math.Abs(float64(got[name])-want) > tolerance {
					t.Errorf("%s, of weight %d, got %d of %d calls, want %.0f, give or take %.0f", name, weight, got[name], calls, want, tolerance)
				}
			}
		})
	}
}

// TestHash sends what has the same object, or source, to the same endpoint: only what belongs
// to one that is drained moves, and it comes back.
func TestHash(t *testing.T) {
	daemons := map[string]string{} // addresses by name
	var static []string
	for _, name := range []string{"one", "two", "three"} {
		daemons[name] = startDaemon(t, "pyro5", "--name", name).backend()
		static = append(static, daemons[name])
	}
	var objects, sources [][2]string // source and object
	for _, object := range []string{"lab.worker", "other.worker", "l\u00e4b.\u4f60\u597d", `quo"te\d'x`} {
		objects = append(objects, [2]string{"127.0.0.1", object})
	}
	for i := range 12 {
		sources = append(sources, [2]string{fmt.Sprintf("127.0.0.%d", i+1), "lab.worker"})
	}
	for by, keys := range map[string][][2]string{"object": objects, "source": sources} {
		t.Run(by, func(t *testing.T) {
			d := startRouted(t, static, "mode: call", "slow_start: 0s, balance: hash, hash_by: "+by)
			homes := func() []string {
				var names []string
				for _, key := range keys {
					one, two := connectFrom(t, key[0], d.location, key[1]), connectFrom(t, key[0], d.location, key[1])
					name := one.whoami(t)
					for range 5 {
						if a, b := one.whoami(t), two.whoami(t); a != name || b != name {
							t.Errorf("%v reached %s, %s and %s", key, name, a, b)
						}
					}
					names = append(names, name)
				}
				return names
			}
			before := homes()
			drained := before[0]
			d.drain(t, daemons[drained], "drain")
			for i, name := range homes() {
				if name == drained {
					t.Errorf("%v reached %s, which is drained", keys[i], name)
				}
				if before[i] != drained && name != before[i] {
					t.Errorf("%v moved from %s to %s though %s was drained", keys[i], before[i], name, drained)
				}
			}
			d.drain(t, daemons[drained], "undrain")
			for i, name := range homes() {
				if name != before[i] {
					t.Errorf("%v is at %s in the end, and was at %s", keys[i], name, before[i])
				}
			}
			if slices.Sort(before); by == "source" && len(slices.Compact(before)) == 1 {
				t.Errorf("all of %d sources reached %s", len(keys), drained)
			}
		})
	}
}

// TestAdminUnderLoad drains and undrains endpoints, and pauses and resumes the cluster, while
// clients of both libraries call: none of them notices but by waiting.
func TestAdminUnderLoad(t *testing.T) {
	for _, mode := range []string{"call", "session"} {
		t.Run(mode, func(t *testing.T) {
			names := map[string]string{} // by address
			var static []string
			for _, lib := range []string{"pyro4", "pyro5"} {
				for _, name := range []string{"one", "two"} {
					address := startDaemon(t, lib, "--name", lib+" "+name).backend()
					names[address] = lib + " " + name
					static = append(static, address)
				}
			}
			d := startRouted(t, static, "mode: "+mode, "slow_start: 0s, balance: round_robin")
			load := startAdminLoad(t, d.location, mode)
			load.reach(t, names)
			for _, address := range static {
				for range 2 { // asking twice does no harm
					d.drain(t, address, "drain")
				}
				e := d.shown(t, address)
				if e.State != "draining" || !strings.HasPrefix(names[address], e.Dialect) {
					t.Errorf("%s is shown as %+v", names[address], e)
				}
				eventually(t, "the endpoint has nothing to do", func() bool { return d.shown(t, address).InFlight == 0 })
				// Each answer from now on may be to a call that was sent before; those after it not.
				load.rounds(t, 2)
				load.forget()
				load.rounds(t, 10)
				if n := load.count(names[address]); n > 0 {
					t.Errorf("%s is drained, and %d calls reached it", names[address], n)
				}
				d.drain(t, address, "undrain")
				load.reach(t, names)
			}

			for range 3 {
				var c cluster
				d.api(t, http.MethodPost, "/telescopes/pause", &c)
				if !c.Paused {
					t.Error("a cluster that was paused is not")
				}
				eventually(t, "all clients wait", func() bool {
					inFlight := 0
					c := d.cluster(t)
					for _, e := range c.Endpoints {
						inFlight += e.InFlight
					}
					return c.Waiting == len(load.clients) && inFlight == 0
				})
				load.forget()
				d.api(t, http.MethodPost, "/telescopes/resume", &c)
				if c.Paused {
					t.Error("a cluster that was resumed is paused")
				}
				load.reach(t, names)
			}
			load.stop(t)
			if c := d.cluster(t); c.Name != "telescopes" || c.Waiting != 0 || len(c.Endpoints) != len(static) {
				t.Errorf("in the end the cluster is shown as %+v", c)
			}
		})
	}
}

// drain makes a request for an endpoint of the cluster, "drain" or "undrain".
func (d *running) drain(t *testing.T, address, what string) {
	t.Helper()
	d.api(t, http.MethodPost, "/telescopes/endpoints/"+address+"/"+what, new(cluster))
}

func (d *running) shown(t *testing.T, address string) endpoint {
	t.Helper()
	var c cluster
	d.api(t, http.MethodGet, "/telescopes", &c)
	for _, e := range c.Endpoints {
		if e.Address == address {
			return e
		}
	}
	t.Fatalf("no endpoint %s in %+v", address, c)
	return endpoint{}
}

// caller5 is a raw client of Pyro5 that asks who serves it.
type caller5 struct {
	conn   net.Conn
	object string
}

// connectFrom connects a client with this source address.
func connectFrom(t *testing.T, source, location, object string) *caller5 {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	conn, err := dialer.Dial("tcp", location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(deadline()); err != nil {
		t.Fatal(err)
	}
	h, body, err := protocols[0].ask(conn, connect5(object))
	if err != nil || h.Type != msgConnectOK {
		t.Fatalf("CONNECT was answered with %+v %q, %v", h, body, err)
	}
	return &caller5{conn, object}
}

func (c *caller5) whoami(t *testing.T) string {
	t.Helper()
	data := fmt.Sprintf(`{"object": %q, "method": "whoami", "params": [], "kwargs": {}}`, c.object)
	h, body, err := protocols[0].ask(c.conn, append(header5(msgInvoke, json5, 0, 1, uint32(len(data)), 0), data...))
	if err != nil || h.Type != msgResult {
		t.Fatalf("the call was answered with %+v %q, %v", h, body, err)
	}
	return strings.Trim(body[strings.Index(body, `"`):], `"`)
}

// adminLoad is a number of clients that call without a break, until they are stopped.
type adminLoad struct {
	clients  []*atomic.Int64 // the calls of each
	mu       sync.Mutex
	served   map[string]int // calls by the daemon that answered them
	failures []error
	ending   chan struct{}
	done     sync.WaitGroup
}

// startAdminLoad starts clients of both libraries. Those of mode session connect for each call.
func startAdminLoad(t *testing.T, location, mode string) *adminLoad {
	l := &adminLoad{served: map[string]int{}, ending: make(chan struct{})}
	for i := range 12 {
		p, calls := &protocols[i%2], &atomic.Int64{}
		l.clients = append(l.clients, calls)
		l.done.Go(func() {
			if err := l.run(p, location, mode == "session", calls); err != nil {
				l.mu.Lock()
				l.failures = append(l.failures, fmt.Errorf("a client of %s: %w", p.lib, err))
				l.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { l.stop(t) })
	return l
}

func (l *adminLoad) run(p *protocol, location string, reconnect bool, calls *atomic.Int64) error {
	var conn net.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	for {
		select {
		case <-l.ending:
			return nil
		default:
		}
		if conn == nil {
			var h head
			var body string
			var err error
			if conn, h, body, err = p.open(location); err != nil || h.Type != msgConnectOK {
				return fmt.Errorf("CONNECT was answered with %+v %q, %w", h, body, err)
			}
		}
		h, body, err := p.ask(conn, p.call)
		if err != nil || h.Type != msgResult || h.Flags&1 != 0 {
			return fmt.Errorf("the call was answered with %+v %q, %w", h, body, err)
		}
		l.mu.Lock()
		l.served[strings.Trim(body[strings.Index(body, `"`):], `"`)]++
		l.mu.Unlock()
		calls.Add(1)
		if reconnect {
			_ = conn.Close()
			conn = nil
		}
	}
}

// rounds waits until each client has made n more calls.
func (l *adminLoad) rounds(t *testing.T, n int64) {
	t.Helper()
	for i, calls := range l.clients {
		goal := calls.Load() + n
		eventually(t, fmt.Sprintf("client %d has made %d more calls", i, n), func() bool {
			l.check(t)
			return calls.Load() >= goal
		})
	}
}

// reach waits until every daemon has answered calls from now on.
func (l *adminLoad) reach(t *testing.T, names map[string]string) {
	t.Helper()
	l.forget()
	for _, name := range names {
		eventually(t, name+" answers calls", func() bool {
			l.check(t)
			return l.count(name) > 0
		})
	}
}

func (l *adminLoad) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.served)
}

func (l *adminLoad) count(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.served[name]
}

// check ends the test when a call has failed.
func (l *adminLoad) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failures) > 0 {
		t.Fatalf("%d clients failed, the first: %v", len(l.failures), l.failures[0])
	}
}

// stop ends the load, none of whose calls may have failed. To stop it again does nothing.
func (l *adminLoad) stop(t *testing.T) {
	t.Helper()
	select {
	case <-l.ending:
		return
	default:
	}
	close(l.ending)
	l.done.Wait()
	if len(l.failures) > 0 && !t.Failed() {
		t.Errorf("%d clients failed, the first: %v", len(l.failures), l.failures[0])
	}
}
