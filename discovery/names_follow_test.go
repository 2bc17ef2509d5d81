package discovery

import (
	"net"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/pace"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// TestNamesFollow: the name server is asked again and again, and a failure keeps the
// members.
func TestNamesFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		f := &fakeNames{answer: names("a=PYRO:o@lab:1")}
		l := startNames(t, f, NameServerConfig{})
		wants := func(when string, after time.Duration, want ...string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if diff := cmp.Diff(want, l.take()); diff != "" {
				t.Errorf("%s: told (-want +got):\n%s", when, diff)
			}
		}
		wants("at first", 0, "{a:o}", "o@lab:1")
		f.change(names("a=PYRO:o@lab:2"), nil, nil, false)
		wants("moved", 11*time.Second, "{a:o}", "o@lab:2")
		f.change(names("a=PYRO:p@lab:2 b=PYRO:o@lab:2"), nil, nil, false)
		wants("other objects there", 11*time.Second, "{a:p b:o}", "o@lab:2 p@lab:2")
		wants("the same", time.Hour)
		f.change(nil, refused, nil, false)
		wants("is not there", time.Hour)
		f.change(nil, nil, nil, true)
		wants("is frozen", time.Hour)
		f.change(names("a=PYRO:p@lab:2 b=PYRO:o@lab:2"), nil, nil, false)
		wants("answers again", 16*time.Second)

		f.change(names(""), nil, nil, false)
		wants("knows nothing", defaultNamesGrace)
		f.change(nil, nil, &values.Exception{Class: "errors.NamingError"}, false)
		wants("fails after that", time.Minute)
		f.change(names(""), nil, nil, false)
		wants("knows nothing, anew", defaultNamesGrace)
		wants("still nothing", time.Minute, "{}", "")
		wants("and still", time.Hour)
		f.change(names("a=PYRO:o@lab:1"), nil, nil, false)
		wants("knows again", 11*time.Second, "{a:o}", "o@lab:1")

		failures := l.failed()
		for _, r := range []Reason{ReasonUnreachable, ReasonTimeout, ReasonServer, ReasonNotFound} {
			if failures[r] == 0 {
				t.Errorf("no %s among the failures %v", r, failures)
			}
		}
		if n := l.messages()["discovery can ask again"]; n != 2 {
			t.Errorf("%d ends of outages logged, want 2", n)
		}
		for _, e := range l.logged.FilterMessage("members changed").All() {
			if c := e.ContextMap(); c["added"].(int64) < 0 || c["removed"].(int64) < 0 || c["added"].(int64)+c["removed"].(int64) == 0 {
				t.Errorf("a change was logged as %v", c)
			}
		}
		if l.members != 1 {
			t.Errorf("%d members counted", l.members)
		}
	})
}

// TestNamesPace: questions are an interval apart, more or less; so they are for a name
// server that is frozen, and one that cannot be connected is tried sooner at first.
func TestNamesPace(t *testing.T) {
	tests := []struct {
		name     string
		f        *fakeNames
		from, to time.Duration // between two questions, after some
		soon     time.Duration // between the first two, at most
	}{
		{"well", &fakeNames{answer: names("a=PYRO:o@lab:1")}, 9500 * time.Millisecond, 10500 * time.Millisecond, 10500 * time.Millisecond},
		{"frozen", &fakeNames{hangs: true}, 14500 * time.Millisecond, 15500 * time.Millisecond, 15500 * time.Millisecond},
		{"gone", &fakeNames{dialErr: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, pace.MaxDelay / 2, 10500 * time.Millisecond, pace.FirstDelay},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				startNames(t, test.f, NameServerConfig{})
				time.Sleep(time.Hour)
				synctest.Wait()
				at, different := test.f.at, false
				if len(at) < 200 {
					t.Fatalf("%d questions in an hour", len(at))
				}
				if d := at[1].Sub(at[0]); d > test.soon {
					t.Errorf("%v after the first question", d)
				}
				for i := 10; i < len(at); i++ {
					d := at[i].Sub(at[i-1])
					if d < test.from || d > test.to {
						t.Errorf("%v between questions", d)
					}
					different = different || d != at[10].Sub(at[9])
				}
				if !different {
					t.Error("there is no chance in it")
				}
			})
		})
	}
}

func TestNewNameServer(t *testing.T) {
	dial := new(fakeNames).dial
	tests := []struct {
		config NameServerConfig
		ok     bool
	}{
		{NameServerConfig{Dial: dial}, true},
		{NameServerConfig{Dial: dial, Prefix: "a"}, true},
		{NameServerConfig{}, false},
		{NameServerConfig{Dial: dial, Prefix: "a", Regex: "a"}, false},
		{NameServerConfig{Dial: dial, Regex: "a", MetadataAll: []string{"a"}}, false},
		{NameServerConfig{Dial: dial, MetadataAny: []string{"a"}, MetadataAll: []string{"a"}}, false},
		{NameServerConfig{Dial: dial, MetadataAny: []string{""}}, false},
		{NameServerConfig{Dial: dial, MetadataAll: []string{"a", ""}}, false},
	}
	for _, test := range tests {
		if _, err := NewNameServer(test.config); (err == nil) != test.ok {
			t.Errorf("%+v: %v", test.config, err)
		}
	}
}

// FuzzNamed: whatever is registered, what is taken for an address is one.
func FuzzNamed(f *testing.F) {
	for _, text := range []string{
		"PYRO:o@lab:1", "pyro:o@[2001:db8::1]:5", "PYRO:o@./u:/run/a.sock", "PYRO:o@./u:a", "PYRO:o@[fe80::1%eth0]:5",
		"PYRO:o@:5", "PYRO:o@0.0.0.0:5", "PYRO:o@a b:5", "PYRO:o@lab:1_0", "PYRONAME:o@lab:1", "PYRO:o@lab:-1", "PYRO:o@[::ffff:192.0.2.1]:1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := named("name", text)
		if err != nil {
			return
		}
		if n.Object == "" {
			t.Errorf("%q has no object", text)
		}
		switch host, port, err := net.SplitHostPort(n.Address.Addr); {
		case n.Address.Network == "unix":
			if n.Address.Addr[0] != '/' || len(n.Address.Addr) > maxSocketPath {
				t.Errorf("%q gives the path %q", text, n.Address.Addr)
			}
		case n.Address.Network != "tcp" || err != nil || host == "":
			t.Errorf("%q gives %v: %v", text, n.Address, err)
		default:
			if p, err := strconv.ParseUint(port, 10, 16); err != nil || p == 0 {
				t.Errorf("%q gives the port %q", text, port)
			}
		}
	})
}
