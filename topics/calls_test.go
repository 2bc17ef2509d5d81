package topics

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func TestTopicsAreTheKeysOfADict(t *testing.T) {
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	for _, c := range []struct {
		v    values.Value
		want string // the topic, or the beginning of what is raised
	}{
		{"", `""`},
		{"temperature", `"temperature"`},
		{[]byte("of Python 2"), `"of Python 2"`},
		{"1", `"1"`},
		{int64(1), "1"},
		{true, "1"},
		{false, "0"},
		{1.0, "1"},
		{math.Copysign(0, -1), "0"},
		{int64(-7), "-7"},
		{1e21, "1000000000000000000000"},
		{huge, huge.String()},
		{1.5, "builtins.TypeError"},
		{math.NaN(), "builtins.TypeError"},
		{math.Inf(1), "builtins.TypeError"},
		{nil, "builtins.TypeError: a topic is text or a whole number, not None"},
		{complex(1, 0), "builtins.TypeError"},
		{values.Tuple{"a"}, "builtins.TypeError"},
		{values.Dict{}, "builtins.TypeError"},
		{values.Instance{Class: "decimal.Decimal"}, "builtins.TypeError"},
		{strings.Repeat("x", maxTopic+1), "builtins.ValueError"},
		{new(big.Int).Lsh(big.NewInt(1), 10_000_000), "builtins.ValueError"},
		{"\xff", "builtins.ValueError"},
		{[]byte("\xff"), "builtins.TypeError"},
	} {
		topic, err := TopicOf(c.v)
		got := topic.String()
		if err != nil {
			e := err.(*values.Exception)
			got = fmt.Sprintf("%s: %v", e.Class, e.Args[0])
		} else if again, err := TopicOf(topic.Value()); err != nil || again != topic {
			t.Errorf("%v becomes %v", topic, again)
		}
		if err == nil && got != c.want || err != nil && !strings.HasPrefix(got, c.want) {
			t.Errorf("%.40v is %s, want %s", c.v, got, c.want)
		}
	}
}

func TestWhoMayListen(t *testing.T) {
	names := map[string][]netip.Addr{
		"inside":  {netip.MustParseAddr("192.168.3.4")},
		"outside": {netip.MustParseAddr("192.168.3.4"), netip.MustParseAddr("8.8.8.8")},
		"empty":   {},
		"self":    {netip.MustParseAddr("127.0.0.1")},
	}
	lookup := func(_ context.Context, host string) ([]netip.Addr, error) {
		ips, ok := names[host]
		if !ok {
			return nil, fmt.Errorf("no such host: %s", host)
		}
		return ips, nil
	}
	here, sameHost := nearby, nearby
	here.Remote = netip.MustParseAddrPort("[::ffff:127.0.0.1]:40000")
	sameHost.Remote = netip.MustParseAddrPort("[::ffff:10.0.0.1]:40000")
	for _, c := range []struct {
		listener values.Value
		from     control.Caller
		want     string // the URI, or the beginning of what is raised
	}{
		{"PYRO:obj_1@10.0.0.7:9000", nearby, "PYRO:obj_1@10.0.0.7:9000"},
		{[]byte("PYRO:obj_1@10.0.0.7:9000"), nearby, "PYRO:obj_1@10.0.0.7:9000"},
		{values.URI{Protocol: "PYRO", Object: "o", Host: "10.0.0.7", Port: 1}, nearby, "PYRO:o@10.0.0.7:1"},
		{values.Proxy{URI: values.URI{Protocol: "PYRO", Object: "o", Host: "10.0.0.7", Port: 1}}, nearby, "PYRO:o@10.0.0.7:1"},
		{"PYRO:o@[fc00:0::1]:9000", nearby, "PYRO:o@[fc00::1]:9000"},
		{"PYRO:o@[fe80::1%1]:9000", nearby, "PYRO:o@[fe80::1%1]:9000"},
		{"PYRO:o@[::ffff:a00:7]:9000", nearby, "PYRO:o@10.0.0.7:9000"},
		{"PYRO:o@inside:9000", nearby, "PYRO:o@inside:9000"},
		{"PYRO:o@127.0.0.1:9000", here, "PYRO:o@127.0.0.1:9000"},
		{"PYRO:o@self:9000", sameHost, "PYRO:o@self:9000"},
		{"PYRO:o@[::1]:9000", control.Caller{}, "PYRO:o@[::1]:9000"},

		{"PYRO:o@8.8.8.8:9000", nearby, "builtins.PermissionError: no listener may be at 8.8.8.8:9000"},
		{"PYRO:o@[2001:db8::1]:9000", nearby, "builtins.PermissionError"},
		{"PYRO:o@0.0.0.0:9000", nearby, "builtins.PermissionError"},
		{"PYRO:o@[::]:9000", nearby, "builtins.PermissionError"},
		{"PYRO:o@outside:9000", nearby, "builtins.PermissionError"},
		{"PYRO:o@./u:/run/daemon.sock", here, "builtins.PermissionError"},
		{"PYRO:o@127.0.0.1:9000", nearby, "builtins.PermissionError: no listener may be at 127.0.0.1:9000: that is the dispatcher's own machine, and you call from 10.0.0.7"},
		{"PYRO:o@[::1]:9000", nearby, "builtins.PermissionError"},
		{"PYRO:o@self:9000", nearby, "builtins.PermissionError"},
		{"PYRO:o@missing:9000", nearby, "errors.PyroError: the address of the listener, missing:9000, cannot be found: no such host"},
		{"PYRO:o@empty:9000", nearby, "errors.PyroError"},
		{"PYRO:o@10.0.0.7:0", nearby, "builtins.ValueError"},
		{"PYRO:o@10.0.0.7:65536", nearby, "builtins.ValueError"},
		{"PYRO:o@10.0.0.7:-1", nearby, "builtins.ValueError"},
		{"PYRO:o@10.0 .0.7:9", nearby, "builtins.ValueError"},
		{"PYRO:o@a@b:9", nearby, "builtins.ValueError"},
		{"PYRO:o@a/b:9", nearby, "builtins.ValueError"},
		{"PYRO:o@" + strings.Repeat("a", 300) + ":9", nearby, "builtins.ValueError"},
		{"PYRO:" + strings.Repeat("o", maxObject+1) + "@10.0.0.7:9", nearby, "builtins.ValueError"},
		{values.URI{Protocol: "PYRO", Object: "o"}, nearby, "builtins.ValueError"},
		{values.URI{Protocol: "PYRO", Object: "a b", Host: "10.0.0.7", Port: 1}, nearby, "builtins.ValueError"},
		{"PYRONAME:listener", nearby, "builtins.ValueError"},
		{"PYRO:o", nearby, "errors.PyroError: invalid uri"},
		{"nonsense", nearby, "errors.PyroError: invalid uri"},
		{nil, nearby, "builtins.TypeError"},
		{int64(1), nearby, "builtins.TypeError"},
		{values.Instance{Class: "listener.Listener"}, nearby, "builtins.TypeError: a listener is a proxy or a URI, not an object of class \"listener.Listener\""},
	} {
		r := New(Config{Store: store.NewMemory(), Lookup: lookup})
		_, got := call(t, r, c.from, "register", "t", c.listener)
		for _, l := range r.Listeners(Topic{Text: "t"}) {
			got += l.URI()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%.60v: %s\nwant %s", c.listener, got, c.want)
		}
	}
}

func TestWhatIsAllowedIsConfigured(t *testing.T) {
	r := New(Config{
		Store: store.NewMemory(), AllowUnix: true,
		Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
	})
	for _, uri := range []string{"PYRO:o@8.8.8.8:9", "PYRO:o@127.0.0.1:9", "PYRO:o@[::1]:9", "PYRO:o@./u:/run/daemon.sock"} {
		register(t, r, "t", uri)
	}
	for _, uri := range []string{"PYRO:o@0.0.0.0:9", "PYRO:o@[::]:9", "PYRO:o@224.0.0.1:9"} {
		if _, raised := call(t, r, nearby, "register", "t", uri); !strings.HasPrefix(raised, "builtins.PermissionError") {
			t.Errorf("%s: %s", uri, raised)
		}
	}
	want := `"t"=o@8.8.8.8:9 "t"=o@127.0.0.1:9 "t"=o@[::1]:9 "t"=o@./u:/run/daemon.sock`
	if got := describe(r.All()); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestANameIsLookedAtAgainAtEachUse(t *testing.T) {
	address := netip.MustParseAddr("10.0.0.7")
	r := New(Config{Store: store.NewMemory(), Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{address}, nil
	}})
	register(t, r, "t", "PYRO:o@listener:9000")
	l := r.All()[0]
	if got, err := r.Resolve(t.Context(), l); err != nil || fmt.Sprint(got) != "[10.0.0.7:9000]" {
		t.Errorf("%v, %v", got, err)
	}
	address = netip.MustParseAddr("8.8.8.8")
	if got, err := r.Resolve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "8.8.8.8") {
		t.Errorf("a name that moved away is %v, %v", got, err)
	}
}

func TestTheCallsOfTheExample(t *testing.T) {
	r := New(Config{Store: store.NewMemory()})
	generation := r.Generation()
	register(t, r, "a", "PYRO:x@10.0.0.7:1")
	register(t, r, int64(2), "PYRO:y@10.0.0.7:1")
	register(t, r, "a", "PYRO:z@10.0.0.8:1")
	if r.Generation() == generation {
		t.Error("the generation is the same")
	}
	generation = r.Generation()
	register(t, r, "a", "PYRO:x@10.0.0.7:1")
	if got := describe(r.Listeners(Topic{Text: "a"})); got != `"a"=x@10.0.0.7:1 "a"=z@10.0.0.8:1` || r.Generation() != generation {
		t.Errorf("registered twice: %s", got)
	}
	if l := r.All()[0]; l.Dialect != wire.V48 || l.Object != "x" || l.Network != "tcp" || l.Address != "10.0.0.7:1" || l.Registered.IsZero() {
		t.Errorf("listener %+v", l)
	}
	topics, _ := call(t, r, nearby, "topics")
	if got := fmt.Sprint(topics); got != "[{a [PYRO:x@10.0.0.7:1 PYRO:z@10.0.0.8:1]} {2 [PYRO:y@10.0.0.7:1]}]" {
		t.Errorf("topics() is %s", got)
	}
	unregister(t, r, "a", "PYRO:x@10.0.0.7:1")
	unregister(t, r, "a", "PYRO:x@10.0.0.7:1")
	unregister(t, r, "b", "PYRO:x@10.0.0.7:1")
	unregister(t, r, "2", "PYRO:y@10.0.0.7:1") // the text
	if got := describe(r.All()); got != `2=y@10.0.0.7:1 "a"=z@10.0.0.8:1` {
		t.Errorf("left is %s", got)
	}
	_, err := r.Call(t.Context(), nearby, "unregister", nil,
		values.Dict{{Key: "listener", Value: "PYRO:y@10.0.0.7:1"}, {Key: "topic", Value: 2.0}})
	if err != nil || len(r.Listeners(Topic{Number: true, Text: "2"})) != 0 {
		t.Errorf("with keywords: %v, %s", err, describe(r.All()))
	}
	for _, c := range []struct {
		method string
		args   []values.Value
		want   string
	}{
		{"process_blob", []values.Value{"x"}, "builtins.TypeError: process_blob() takes one SerializedBlob"},
		{"process_blob", nil, "builtins.TypeError"},
		{"register", []values.Value{"x"}, "builtins.TypeError: Dispatcher.register() missing 1 required positional argument: 'listener'"},
		{"topics", []values.Value{"x"}, "builtins.TypeError"},
		{"shutdown", nil, "builtins.AttributeError"},
	} {
		if _, raised := call(t, r, nearby, c.method, c.args...); !strings.HasPrefix(raised, c.want) {
			t.Errorf("%s%v: %s", c.method, c.args, raised)
		}
	}
}

func TestThereIsABound(t *testing.T) {
	r := New(Config{Store: store.NewMemory(), MaxTopics: 2, MaxListenersPerTopic: 2})
	for _, topic := range []string{"a", "b"} {
		register(t, r, topic, "PYRO:x@10.0.0.7:1")
		register(t, r, topic, "PYRO:y@10.0.0.7:1")
		register(t, r, topic, "PYRO:y@10.0.0.7:1")
	}
	if _, raised := call(t, r, nearby, "register", "c", "PYRO:x@10.0.0.7:1"); !strings.HasPrefix(raised, "errors.PyroError: there are 2 topics") {
		t.Errorf("a third topic: %s", raised)
	}
	if _, raised := call(t, r, nearby, "register", "a", "PYRO:z@10.0.0.7:1"); !strings.HasPrefix(raised, `errors.PyroError: topic "a" has 2 listeners`) {
		t.Errorf("a third listener: %s", raised)
	}
	unregister(t, r, "a", "PYRO:x@10.0.0.7:1")
	register(t, r, "a", "PYRO:z@10.0.0.7:1")
	if len(r.coming) != 0 {
		t.Errorf("%v is still said to come", r.coming)
	}
}

// Who has registered takes one place, also before the call has come to its end.
func TestNoPlaceIsTakenTwice(t *testing.T) {
	r := New(Config{Store: store.NewMemory(), MaxTopics: 2, MaxListenersPerTopic: 2})
	l := Listener{Topic: Topic{Text: "a"}, Object: "x", Network: "tcp", Address: "10.0.0.7:1", Dialect: wire.V48}
	for range 2 { // the same one, by two
		_, done, err := r.reserve(l.key(), l.Topic)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
	}
	register(t, r, "a", "PYRO:x@10.0.0.7:1")
	register(t, r, "a", "PYRO:y@10.0.0.7:1")
	register(t, r, "b", "PYRO:y@10.0.0.7:1")
}

func TestListenersAllocatesNothing(t *testing.T) {
	r := New(Config{Store: store.NewMemory()})
	register(t, r, "a", "PYRO:x@10.0.0.7:1")
	name, n := "a", 0
	if allocs := testing.AllocsPerRun(100, func() { n += len(r.Listeners(Topic{Text: name})) }); allocs != 0 || n == 0 {
		t.Errorf("%v allocations", allocs)
	}
}
