package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// daemon is a real Pyro daemon, py/daemon.py.
type daemon struct {
	*process
	lib      string
	location string // as in a URI: host:port or ./u:path
}

// startDaemon starts a daemon of "pyro4" or "pyro5" with more of daemon.py's flags, and waits
// until it listens.
func startDaemon(t *testing.T, lib string, flags ...string) *daemon {
	t.Helper()
	args := append([]string{"py/daemon.py", "--lib", lib}, flags...)
	p := startProcess(t, fmt.Sprintf("%s daemon %v", lib, flags), exec.Command(python, args...), nil)
	line := p.line(t, p.stdout, "its location", func(string) bool { return true })
	var ready struct{ Location string }
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		t.Fatalf("%s printed %q: %v", p.name, line, err)
	}
	return &daemon{process: p, lib: lib, location: ready.Location}
}

// awaitHeld waits until the daemon executes the call hold(key), and returns a proxy to it that
// can let the call end.
func awaitHeld(t *testing.T, d *daemon, key string) *proxy {
	t.Helper()
	side := startRemote(t, d.lib).open(t, d.location, "lab.worker")
	if side.call(t, "holding", key, patience.Seconds()) != true {
		t.Fatalf("the call hold(%s) never reached %s", key, d.name)
	}
	return side
}

// backend is the daemon's address as the dispatcher wants it.
func (d *daemon) backend() string { return addressOf(d.location) }

// addressOf turns a Pyro location into an address of the dispatcher.
func addressOf(location string) string {
	if path, ok := bytes.CutPrefix([]byte(location), []byte("./u:")); ok {
		return "unix:" + string(path)
	}
	return location
}

// remote is a Pyro client process that a test steers call by call, py/remote.py.
type remote struct {
	*process
	mu      sync.Mutex
	lastID  int
	answers map[int]chan answer
}

// answer is what a call gave: a value, or an exception's class and message.
type answer struct {
	ID        int
	Value     any
	Exception string
	Message   string
}

func startRemote(t *testing.T, lib string) *remote {
	t.Helper()
	p := startProcess(t, lib+" client", exec.Command(python, "py/remote.py", "--lib", lib), nil)
	r := &remote{process: p, answers: map[int]chan answer{}}
	go r.dispatch()
	return r
}

// dispatch hands each answer to the call that waits for it, until the process is gone.
func (r *remote) dispatch() {
	for seen := 0; ; {
		lines, grown := r.stdout.from(seen)
		seen += len(lines)
		for _, line := range lines {
			var a answer
			if json.Unmarshal([]byte(line), &a) == nil {
				r.mu.Lock()
				r.answers[a.ID] <- a
				r.mu.Unlock()
			}
		}
		select {
		case <-grown:
		case <-r.exited:
			return
		}
	}
}

// proxy is one Pyro proxy of a remote client. Its calls run in the order they were started.
type proxy struct {
	r    *remote
	name string
}

// open makes a proxy for an object at a location; it connects at its first call.
func (r *remote) open(t *testing.T, location, object string) *proxy {
	t.Helper()
	r.mu.Lock()
	p := &proxy{r: r, name: "proxy" + strconv.Itoa(r.lastID)}
	r.mu.Unlock()
	p.do(t, "open", map[string]any{"location": location, "object": object}).value(t)
	return p
}

// pending is a call that may not have ended yet.
type pending struct {
	what   string
	answer chan answer
}

// do starts an operation and returns at once.
func (p *proxy) do(t *testing.T, op string, fields map[string]any) *pending {
	t.Helper()
	command := map[string]any{"proxy": p.name, "op": op}
	for k, v := range fields {
		command[k] = v
	}
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.r.lastID++
	command["id"] = p.r.lastID
	c := make(chan answer, 1)
	p.r.answers[p.r.lastID] = c
	line, err := json.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.r.stdin.Write(append(line, '\n')); err != nil {
		t.Fatalf("%s: %v", p.r.name, err)
	}
	return &pending{what: string(line), answer: c}
}

// start starts a call of a remote method and returns at once.
func (p *proxy) start(t *testing.T, method string, args ...any) *pending {
	t.Helper()
	if args == nil {
		args = []any{}
	}
	return p.do(t, "call", map[string]any{"method": method, "args": args})
}

// call makes a call that has to succeed, and returns its value.
func (p *proxy) call(t *testing.T, method string, args ...any) any {
	t.Helper()
	return p.start(t, method, args...).value(t)
}

func (c *pending) wait(t *testing.T) answer {
	t.Helper()
	select {
	case a := <-c.answer:
		return a
	case <-time.After(patience):
		t.Fatalf("no answer to %s", c.what)
		return answer{}
	}
}

// value waits for an operation that has to succeed.
func (c *pending) value(t *testing.T) any {
	t.Helper()
	a := c.wait(t)
	if a.Exception != "" {
		t.Fatalf("%s: %s: %s", c.what, a.Exception, a.Message)
	}
	return a.Value
}
