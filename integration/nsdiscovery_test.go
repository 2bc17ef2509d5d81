package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/discovery"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// followed is a source that follows a name server: what it told last, and what it counted.
type followed struct {
	mu       sync.Mutex
	members  string // "object@127.0.0.1:1(pyro4) ..."; "unknown" before there was an answer
	names    string // "name:object ..."
	answered int
	failed   map[discovery.Reason]int
}

// libraryNames starts the name server program of a library at the address, and says where it
// is. Port 0 is any.
func libraryNames(t *testing.T, lib, port, storage, servertype string) (p *process, address string) {
	t.Helper()
	module := map[string]string{"pyro4": "Pyro4.naming", "pyro5": "Pyro5.nameserver"}[lib]
	cmd := exec.Command(python, "-u", "-m", module, "-n", "127.0.0.1", "-p", port, "-s", storage, "-x")
	cmd.Env = append(os.Environ(), "PYRO_SERVERTYPE="+servertype)
	p = startProcess(t, lib+" name server", cmd, func(p *process) {
		p.signal(t, syscall.SIGCONT)
		p.signal(t, syscall.SIGKILL)
	})
	line := p.line(t, p.stdout, "its URI", func(line string) bool { return strings.HasPrefix(line, "URI = ") })
	uri, err := values.ParseURI(strings.TrimPrefix(line, "URI = "))
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return p, uri.Location()
}

func dialNames(ctx context.Context, address string) (*control.Client, error) {
	return control.Dial(ctx, control.ClientConfig{Address: address, Object: "Pyro.NameServer"})
}

// register tells a name server of names, as "name=uri" or "name=uri,metadata,metadata".
func register(t *testing.T, address string, names ...string) {
	t.Helper()
	c, err := dialNames(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, n := range names {
		name, rest, _ := strings.Cut(n, "=")
		parts := strings.Split(rest, ",")
		var metadata values.List
		for _, m := range parts[1:] {
			metadata = append(metadata, m)
		}
		if _, err := c.Call(t.Context(), "register", []values.Value{name, parts[0], false, metadata}, nil); err != nil {
			t.Fatalf("registering %s: %v", n, err)
		}
	}
}

// follow runs a source for the name server at the address until the test ends.
func follow(t *testing.T, address string, c discovery.NameServerConfig) *followed {
	t.Helper()
	f := &followed{members: "unknown", failed: make(map[discovery.Reason]int)}
	locked := func(change func()) {
		f.mu.Lock()
		defer f.mu.Unlock()
		change()
	}
	c.Interval, c.Grace = 100*time.Millisecond, time.Second
	c.Dial = func(ctx context.Context) (discovery.Caller, error) { return dialNames(ctx, address) }
	c.OnNames = func(names []discovery.Named) {
		var all []string
		for _, n := range names {
			all = append(all, n.Name+":"+n.Object)
		}
		locked(func() { f.names = strings.Join(all, " ") })
	}
	c.Events = discovery.Events{
		Answered: func() { locked(func() { f.answered++ }) },
		Failed:   func(r discovery.Reason) { locked(func() { f.failed[r]++ }) },
	}
	source, err := discovery.NewNameServer(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		source.Run(ctx, func(members []backend.Member) {
			var all []string
			for _, m := range members {
				all = append(all, fmt.Sprintf("%s@%s(%s)", m.Object, m.Address, m.Dialect))
			}
			locked(func() { f.members = strings.Join(all, " ") })
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return f
}

// in adds the dialect to members.
func in(lib, members string) string {
	return strings.ReplaceAll(members, " ", "("+lib+") ") + "(" + lib + ")"
}

// becomes waits until the source has told these members and names.
func (f *followed) becomes(t *testing.T, when, members, names string) {
	t.Helper()
	eventually(t, when+": "+members+", "+names, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.members == members && f.names == names
	})
}

// fails waits until the source has failed twice more for a reason, and says whether it still
// tells these members.
func (f *followed) fails(t *testing.T, r discovery.Reason, members string) {
	t.Helper()
	count := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.failed[r]
	}
	before := count()
	eventually(t, "it fails twice: "+string(r), func() bool { return count() >= before+2 })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.members != members {
		t.Errorf("with failures (%s) the members are %q, not %q", r, f.members, members)
	}
}

// answers waits until the name server has answered once more.
func (f *followed) answers(t *testing.T) {
	t.Helper()
	count := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.answered
	}
	before := count()
	eventually(t, "there is an answer", func() bool { return count() > before })
}

// TestNameServerQuestions: the name servers of both libraries understand every question, with
// each kind of storage.
func TestNameServerQuestions(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, storage := range []string{"memory", "sql"} {
			t.Run(lib+" "+storage, func(t *testing.T) {
				t.Parallel()
				where := storage
				if storage == "sql" {
					where = "sql:" + filepath.Join(t.TempDir(), "names.sqlite")
				}
				_, address := libraryNames(t, lib, "0", where, "thread")
				register(t, address, "lab_1=PYRO:o1@127.0.0.1:1,blue,square", "lab_2=PYRO:o2@[::1]:2,blue,round",
					"labs=PYRO:o3@127.0.0.1:1,red,round", "LAB_4=PYRO:o4@./u:/run/4.sock", "alias=PYRONAME:lab_1")
				tests := []struct {
					config         discovery.NameServerConfig
					members, names string
				}{
					{discovery.NameServerConfig{}, "o1@127.0.0.1:1 o3@127.0.0.1:1 o2@[::1]:2 o4@unix:/run/4.sock", "LAB_4:o4 lab_1:o1 lab_2:o2 labs:o3"},
					{discovery.NameServerConfig{Prefix: "lab_"}, "o1@127.0.0.1:1 o2@[::1]:2", "lab_1:o1 lab_2:o2"},
					{discovery.NameServerConfig{Regex: `lab.1|.*s$`}, "o1@127.0.0.1:1 o3@127.0.0.1:1", "lab_1:o1 labs:o3"},
					{discovery.NameServerConfig{MetadataAll: []string{"round", "red", "red"}}, "o3@127.0.0.1:1", "labs:o3"},
					{discovery.NameServerConfig{MetadataAny: []string{"square", "red", "none"}}, "o1@127.0.0.1:1 o3@127.0.0.1:1", "lab_1:o1 labs:o3"},
				}
				for _, test := range tests {
					f := follow(t, address, test.config)
					f.becomes(t, fmt.Sprintf("%+v", test.config), in(lib, test.members), test.names)
				}
				follow(t, address, discovery.NameServerConfig{Regex: "("}).fails(t, discovery.ReasonRequest, "unknown")
			})
		}
	}
}

// TestNameServerFollowed: what is registered and removed is seen; what a name server does not
// know that was started anew counts only after the grace; while it is frozen or gone the last
// members stay.
func TestNameServerFollowed(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, servertype := range []string{"thread", "multiplex"} {
			t.Run(lib+" "+servertype, func(t *testing.T) {
				t.Parallel()
				p, address := libraryNames(t, lib, "0", "memory", servertype)
				f := follow(t, address, discovery.NameServerConfig{Prefix: "lab.", Timeout: 2 * time.Second})
				f.becomes(t, "nothing at first, after the grace", "", "")
				register(t, address, "lab.a=PYRO:a@127.0.0.1:1", "lab.b=PYRO:b@127.0.0.1:1", "else=PYRO:c@127.0.0.1:3")
				f.becomes(t, "two at one address", in(lib, "a@127.0.0.1:1 b@127.0.0.1:1"), "lab.a:a lab.b:b")
				register(t, address, "lab.b=PYRO:b@127.0.0.1:2")
				moved := in(lib, "a@127.0.0.1:1 b@127.0.0.1:2")
				f.becomes(t, "moved", moved, "lab.a:a lab.b:b")

				p.signal(t, syscall.SIGSTOP)
				f.fails(t, discovery.ReasonTimeout, moved)
				p.signal(t, syscall.SIGCONT)
				f.answers(t)
				register(t, address, "lab.a=PYRO:d@127.0.0.1:2")
				two := in(lib, "b@127.0.0.1:2 d@127.0.0.1:2")
				f.becomes(t, "works after it was frozen", two, "lab.a:d lab.b:b")

				p.kill(t)
				f.fails(t, discovery.ReasonUnreachable, two)
				_, again := libraryNames(t, lib, address[strings.LastIndex(address, ":")+1:], "memory", servertype)
				if again != address {
					t.Fatalf("started anew at %s, not %s", again, address)
				}
				f.fails(t, discovery.ReasonNotFound, two)
				register(t, address, "lab.a=PYRO:d@127.0.0.1:1")
				f.becomes(t, "registered anew", in(lib, "d@127.0.0.1:1"), "lab.a:d")
			})
		}
	}
}
