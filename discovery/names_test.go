package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// fakeNames is a name server that answers every question with what it holds.
type fakeNames struct {
	mu      sync.Mutex
	dialect wire.Dialect
	answer  values.Value
	dialErr error
	callErr error
	hangs   bool // answers nobody, not even a CONNECT
	asked   []string
	at      []time.Time
	open    int // connections
	most    int // of these at once
}

// names makes an answer of "name=uri name=uri".
func names(text string) values.Dict {
	d := values.Dict{}
	for _, pair := range strings.Fields(text) {
		name, uri, _ := strings.Cut(pair, "=")
		d = append(d, values.Pair{Key: name, Value: uri})
	}
	return d
}

// change sets what the next question is answered with.
func (f *fakeNames) change(answer values.Value, dialErr, callErr error, hangs bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer, f.dialErr, f.callErr, f.hangs = answer, dialErr, callErr, hangs
}

func (f *fakeNames) dial(ctx context.Context) (Caller, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = append(f.at, time.Now())
	if f.hangs {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return nil, fmt.Errorf("shaking hands: %w", ctx.Err())
	}
	if f.dialErr != nil {
		return nil, f.dialErr
	}
	f.open++
	f.most = max(f.most, f.open)
	if f.dialect == 0 {
		return untold{(*fakeConn)(f)}, nil
	}
	return (*fakeConn)(f), nil
}

// untold is a Caller that does not tell a dialect.
type untold struct{ Caller }

type fakeConn fakeNames

func (f *fakeConn) Dialect() wire.Dialect { return f.dialect }

func (f *fakeConn) Call(ctx context.Context, method string, args []values.Value, kwargs values.Dict) (values.Value, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprint(method, args, kwargs))
	return f.answer, f.callErr
}

func (f *fakeConn) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
	return nil
}

// startNames runs a source that follows a fake. What it tells of names is noted among
// the memberships, as "{NAME:OBJECT ...}"; the members are "OBJECT@ADDRESS ...".
func startNames(t *testing.T, f *fakeNames, c NameServerConfig) *listener {
	t.Helper()
	l := newListener()
	c.Cluster, c.Server, c.Dial, c.Log, c.Events = "lab", "names:9090", f.dial, l.log, l.events()
	c.OnNames = func(names []Named) {
		var all []string
		for _, n := range names {
			all = append(all, n.Name+":"+n.Object)
		}
		l.add("{" + strings.Join(all, " ") + "}")
	}
	s, err := NewNameServer(c)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s, func(members []backend.Member) {
		var all []string
		for _, m := range members {
			all = append(all, describe([]backend.Member{m}))
		}
		l.add(strings.Join(all, " "))
	})
	return l
}

// TestNamesQuestions: what is asked, in each dialect.
func TestNamesQuestions(t *testing.T) {
	tests := []struct {
		config       NameServerConfig
		pyro4, pyro5 string
	}{
		{NameServerConfig{}, "list[] []", "list[] []"},
		{NameServerConfig{Prefix: "lab."}, "list[] [{prefix lab.}]", "list[] [{prefix lab.}]"},
		{NameServerConfig{Regex: "lab.*"}, "list[] [{regex lab.*}]", "list[] [{regex lab.*}]"},
		{NameServerConfig{MetadataAll: []string{"b", "a", "b"}}, "list[] [{metadata_all [a b]}]", "yplookup[] [{meta_all [a b]} {return_metadata false}]"},
		{NameServerConfig{MetadataAny: []string{"a"}}, "list[] [{metadata_any [a]}]", "yplookup[] [{meta_any [a]} {return_metadata false}]"},
	}
	for _, test := range tests {
		for dialect, want := range map[wire.Dialect]string{wire.V48: test.pyro4, wire.V502: test.pyro5} {
			for _, told := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					f, c := &fakeNames{answer: names("")}, test.config
					if told {
						f.dialect = dialect
					} else {
						c.Dialect = dialect
					}
					startNames(t, f, c)
					synctest.Wait()
					if len(f.asked) != 1 || f.asked[0] != want {
						t.Errorf("%v: asked %q, want %q", dialect, f.asked, want)
					}
				})
			}
		}
	}
}

// TestNamesAnswers reads answers of every kind.
func TestNamesAnswers(t *testing.T) {
	many := values.Dict{}
	for i := range maxNames + 1 {
		many = append(many, values.Pair{Key: fmt.Sprintf("n%05d", i), Value: "PYRO:o@192.0.2.1:5555"})
	}
	bad := values.Dict{{Key: "z", Value: "PYRO:z@192.0.2.1:1"}}
	for i := range 1000 {
		bad = append(bad, values.Pair{Key: fmt.Sprint(i), Value: strings.Repeat("x", 1<<16)})
	}
	raised := func(class, text string) error {
		return fmt.Errorf("calling: %w", &values.Exception{Class: class, Args: []values.Value{text}})
	}
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	tests := []struct {
		name    string
		config  NameServerConfig
		f       *fakeNames
		want    []string // at the first answer: the names, then the members
		skipped int
		failed  Reason
	}{
		{name: "one", f: &fakeNames{dialect: wire.V48, answer: names("a=PYRO:obj_1@192.0.2.1:5555")},
			want: []string{"{a:obj_1}", "obj_1@:5555(pyro4)"}},
		{name: "several at one address, in any order", f: &fakeNames{dialect: wire.V502, answer: names("d=PYRO:o1@lab:2 c=PYRO:o3@lab:2 b=PYRO:o2@192.0.2.1:1 a=PYRO:o1@lab:2")},
			want: []string{"{a:o1 b:o2 c:o3 d:o1}", "o2@:1(pyro5) o1@lab:2(pyro5) o3@lab:2(pyro5)"}},
		{name: "declared dialect", config: NameServerConfig{Dialect: wire.V48}, f: &fakeNames{dialect: wire.V502, answer: names("a=PYRO:o@lab:1")},
			want: []string{"{a:o}", "o@lab:1(pyro4)"}},
		{name: "no dialect", f: &fakeNames{answer: names("a=PYRO:o@lab:1")}, want: []string{"{a:o}", "o@lab:1"}},
		{name: "IPv6 and Unix", f: &fakeNames{answer: names("a=PYRO:o@[2001:db8::1]:1 b=PYRO:o@./u:/run/b.sock")},
			want: []string{"{a:o b:o}", "o@[2001:db8::1]:1 o@unix:/run/b.sock"}},
		{name: "the name server itself", f: &fakeNames{answer: names("Pyro.NameServer=PYRO:Pyro.NameServer@lab:9090 a=PYRO:o@lab:1")},
			want: []string{"{a:o}", "o@lab:1"}},
		{name: "a prefix found with LIKE", config: NameServerConfig{Prefix: "a_"}, f: &fakeNames{answer: names("a_b=PYRO:o@lab:1 axb=PYRO:o@lab:2 A_b=PYRO:o@lab:3")},
			want: []string{"{a_b:o}", "o@lab:1"}},
		{name: "URIs and Python 2's names", f: &fakeNames{answer: values.Dict{
			{Key: []byte("a"), Value: values.URI{Protocol: "PYRO", Object: "o", Host: "lab", Port: 1}}, {Key: "b", Value: []byte("PYRO:p@lab:2")},
		}}, want: []string{"{a:o b:p}", "o@lab:1 p@lab:2"}},
		{name: "some nonsense", f: &fakeNames{answer: append(names("a=PYRO:o@lab:1 b=PYRONAME:x@lab:2 c=PYRO:o@0.0.0.0:3 d=PYRO:o@lab:0 e=PYRO:o@lab:70000 "+
			"f=PYRO:o@./u:rel.sock g=what h=PYRO:o@:5"), values.Pair{Key: int64(1), Value: "PYRO:o@lab:1"}, values.Pair{Key: "i", Value: nil})},
			want: []string{"{a:o}", "o@lab:1"}, skipped: 9},
		{name: "all nonsense", f: &fakeNames{answer: names("a=what")}, failed: ReasonNonsense},
		{name: "much nonsense", f: &fakeNames{answer: bad}, want: []string{"{z:z}", "z@:1"}, skipped: maxProblems + 1},
		{name: "no dict", f: &fakeNames{answer: values.List{}}, failed: ReasonNonsense},
		{name: "none", f: &fakeNames{answer: names("")}, failed: ReasonNotFound},
		{name: "no connection", f: &fakeNames{dialErr: refused}, failed: ReasonUnreachable},
		{name: "refused", f: &fakeNames{dialErr: errors.New("unknown object")}, failed: ReasonServer},
		{name: "frozen", f: &fakeNames{hangs: true}, failed: ReasonTimeout},
		{name: "closed", f: &fakeNames{callErr: fmt.Errorf("calling: %w", io.ErrUnexpectedEOF)}, failed: ReasonUnreachable},
		{name: "no reply of Pyro", f: &fakeNames{callErr: errors.New("wrong reply")}, failed: ReasonNonsense},
		{name: "invalid regex", f: &fakeNames{callErr: raised("errors.NamingError", "invalid regex: unterminated")}, failed: ReasonRequest},
		{name: "old", f: &fakeNames{callErr: raised("builtins.TypeError", "unexpected keyword argument")}, failed: ReasonRequest},
		{name: "fails", f: &fakeNames{callErr: raised("errors.NamingError", "sqlite error in everything")}, failed: ReasonServer},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := startNames(t, test.f, test.config)
				time.Sleep(defaultNamesTimeout)
				synctest.Wait()
				if diff := cmp.Diff(test.want, l.take()); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
				failed := l.failed()
				if failed[test.failed] == 0 != (test.failed == "") || len(failed) > 1 {
					t.Errorf("failures %v, want %q", failed, test.failed)
				}
				if l.skipped != test.skipped {
					t.Errorf("%d skipped, want %d", l.skipped, test.skipped)
				}
				if test.f.open != 0 || test.f.most > 1 {
					t.Errorf("%d connections are open, %d were at once", test.f.open, test.f.most)
				}
				for _, e := range l.logged.All() {
					if text := fmt.Sprint(e.ContextMap()); len(text) > 1000 {
						t.Errorf("%d bytes logged: %.200s", len(text), text)
					}
				}
			})
		})
	}
	s, err := NewNameServer(NameServerConfig{Dial: new(fakeNames).dial})
	if err != nil {
		t.Fatal(err)
	}
	if all, problems := s.read(many, 0); len(all) != maxNames || len(problems) != 1 || all[maxNames-1].Name != fmt.Sprintf("n%05d", maxNames-1) {
		t.Errorf("of too many names %d were taken; problems %v", len(all), problems)
	}
}
