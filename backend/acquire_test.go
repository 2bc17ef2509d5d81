package backend

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
)

// state is what an endpoint of a test does with who dials it.
type state int

const (
	open state = iota
	refusing
	silent // the dial hangs
)

// TestAcquire follows one attempt through endpoints in several states.
func TestAcquire(t *testing.T) {
	tests := []struct {
		name     string
		states   []state // of addrA and so on
		dialled  []string
		got      string // "" where there is no lease
		took     time.Duration
		failures map[string]float64
	}{
		{"the first", []state{open, open}, []string{addrA}, addrA, 0, nil},
		{"the next", []state{refusing, open}, []string{addrA, addrB}, addrB, 0, map[string]float64{"refused": 1}},
		{"the last", []state{refusing, refusing, open}, []string{addrA, addrB, addrC}, addrC, 0, map[string]float64{"refused": 2}},
		{"none", []state{refusing, refusing}, []string{addrA, addrB}, "", 0, map[string]float64{"refused": 2}},
		{"after a silent one", []state{silent, open}, []string{addrA, addrB}, addrB, connectTimeout, map[string]float64{"timeout": 1}},
		{"only silent ones", []state{silent, silent}, []string{addrA, addrB}, "", 2 * connectTimeout, map[string]float64{"timeout": 2}},
		{"silent and refusing", []state{silent, refusing}, []string{addrA, addrB}, "", connectTimeout, map[string]float64{"timeout": 1, "refused": 1}},
		{"no endpoints", nil, nil, "", 0, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(addrABCD[:len(test.states)]...)
				for i, s := range test.states {
					switch s {
					case open:
						r.open(t, addrABCD[i])
					case silent:
						r.network.BlackHole(addrABCD[i])
					}
				}
				start := time.Now()
				l, err := r.Acquire(t.Context(), &Attempt{Dialect: v502})
				took := time.Since(start)
				switch {
				case test.got == "" && !errors.Is(err, ErrUnreachable):
					t.Errorf("error %v", err)
				case test.got != "" && err != nil:
					t.Fatal(err)
				case test.got != "":
					if got := l.Endpoint.Address.Addr; got != test.got || l.Conn.RemoteAddr().String() != test.got {
						t.Errorf("got %s, connected to %s", got, l.Conn.RemoteAddr())
					}
					if by := start.Add(took + connectTimeout); !l.AnswerBy.Equal(by) {
						t.Errorf("AnswerBy is %v after the dial, not connect_timeout", l.AnswerBy.Sub(start.Add(took)))
					}
					if diff := cmp.Diff(map[string]float64{test.got: 1}, r.samples(t, "endpoint_connections", "endpoint")); diff != "" {
						t.Errorf("endpoint_connections (-want +got):\n%s", diff)
					}
					l.Done(Served)
				}
				if took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				if diff := cmp.Diff(test.dialled, r.dialled); diff != "" {
					t.Errorf("dialled (-want +got):\n%s", diff)
				}
				want := test.failures
				if want == nil {
					want = map[string]float64{}
				}
				if diff := cmp.Diff(want, r.failures(t)); diff != "" {
					t.Errorf("connect_failures_total (-want +got):\n%s", diff)
				}
				r.wantNoneOpen(t)
			})
		})
	}
}

// TestTriedOnce: an attempt that goes on after a failed handshake comes to each
// endpoint once, wherever other attempts have moved the turn.
func TestTriedOnce(t *testing.T) {
	r := newRig(addrABCD...)
	r.open(t, addrA, addrB, addrD)
	a := &Attempt{Dialect: v502}
	for range 3 {
		r.acquire(t, a).Done(Broken)
		r.acquire(t, nil).Done(Served)
	}
	tried := len(r.dialled)
	for range 2 { // it stays so
		if _, err := r.Acquire(t.Context(), a); !errors.Is(err, ErrUnreachable) {
			t.Errorf("a fifth endpoint: %v", err)
		}
	}
	if len(a.tried) != 4 || len(a.failures) != 4 {
		t.Errorf("%d endpoints tried, %d failures", len(a.tried), len(a.failures))
	}
	for _, addr := range r.dialled[tried:] {
		if addr != addrC { // which nobody had come to yet
			t.Errorf("%s was tried twice", addr)
		}
	}
}

// TestAnswerByIncludesDialing: what the dial took is gone from the time that
// the endpoint has for its answer.
func TestAnswerByIncludesDialing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(addrA, addrB)
		r.network.Latency = 2 * time.Second
		r.open(t, addrB)
		l := r.acquire(t, nil) // 2 s for the refusal of A, 2 s for B
		if left := time.Until(l.AnswerBy); left != connectTimeout-2*time.Second {
			t.Errorf("%v left for the answer", left)
		}
		l.Done(Served)
	})
}

// TestCancel: an attempt that its caller ends says nothing about endpoints.
func TestCancel(t *testing.T) {
	tests := []struct {
		name  string
		ctx   func(context.Context) (context.Context, context.CancelFunc)
		want  error
		after time.Duration
	}{
		{"before", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, context.Canceled, 0},
		{"in the middle of a dial", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, context.Canceled, time.Second},
		{"a deadline before connect_timeout", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, context.DeadlineExceeded, time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(addrA, addrB)
				r.network.BlackHole(addrA)
				r.open(t, addrB)
				r.learnt(v502, addrA)
				ctx, cancel := test.ctx(t.Context())
				defer cancel()
				start := time.Now()
				_, err := r.Acquire(ctx, &Attempt{Dialect: v502})
				if !errors.Is(err, test.want) || errors.Is(err, ErrUnreachable) {
					t.Errorf("error %v", err)
				}
				if took := time.Since(start); took != test.after {
					t.Errorf("returned after %v", took)
				}
				if failures := r.failures(t); len(failures) > 0 {
					t.Errorf("counted %v", failures)
				}
				if r.members[0].learnt != v502 {
					t.Error("the dialect was forgotten")
				}
				if len(r.dialled) > 1 {
					t.Errorf("dialled %v", r.dialled)
				}
				r.wantNoneOpen(t)
			})
		})
	}
}

func TestUnreachableError(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*testing.T, *rig, *Attempt)
		text    string
		is      []error
	}{
		{
			"all speak the other protocol",
			func(_ *testing.T, r *rig, _ *Attempt) { r.learnt(v48, addrA, addrB) },
			"cluster lab: no endpoint reachable: none speaks pyro5", nil,
		},
		{
			"all refuse",
			func(*testing.T, *rig, *Attempt) {},
			"cluster lab: no endpoint reachable: " +
				"192.0.2.1:9999: dial tcp 192.0.2.1:9999: connect: connection refused; " +
				"192.0.2.2:9999: dial tcp 192.0.2.2:9999: connect: connection refused",
			[]error{syscall.ECONNREFUSED},
		},
		{
			"one does not answer, one speaks the other protocol",
			func(t *testing.T, r *rig, a *Attempt) {
				r.open(t, addrA, addrB)
				r.acquire(t, a).Done(Unanswered)
				r.acquire(t, a).Done(OtherDialect)
			},
			"cluster lab: no endpoint reachable: " +
				"192.0.2.1:9999: did not answer CONNECT in time; 192.0.2.2:9999: speaks the other protocol",
			[]error{errUnanswered, errOtherDialect},
		},
		{
			"one closes, one sends rubbish",
			func(t *testing.T, r *rig, a *Attempt) {
				r.open(t, addrA, addrB)
				r.acquire(t, a).Done(Broken)
				r.acquire(t, a).Done(Garbled)
			},
			"cluster lab: no endpoint reachable: " +
				"192.0.2.1:9999: closed the connection instead of answering CONNECT; " +
				"192.0.2.2:9999: answered CONNECT with something else than Pyro",
			[]error{errBroken, errGarbled},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(addrA, addrB)
			a := &Attempt{Dialect: v502}
			test.prepare(t, r, a)
			_, err := r.Acquire(t.Context(), a)
			if err == nil || err.Error() != test.text {
				t.Errorf("got  %v\nwant %s", err, test.text)
			}
			for _, want := range append(test.is, ErrUnreachable) {
				if !errors.Is(err, want) {
					t.Errorf("it is no %v", want)
				}
			}
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) || unreachable.Cluster != "lab" || unreachable.Dialect != v502 {
				t.Errorf("it is no *UnreachableError of the cluster and dialect: %#v", err)
			}
			var op *net.OpError
			if refused := errors.Is(err, syscall.ECONNREFUSED); errors.As(err, &op) != refused {
				t.Errorf("as a *net.OpError: %v", op)
			}
			r.wantNoneOpen(t)
		})
	}
}

func TestDialReason(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	tests := []struct {
		name string
		err  error
		want metrics.ConnectFailure
	}{
		{"refused", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), metrics.ConnectRefused},
		{"no socket file", dial(os.NewSyscallError("connect", syscall.ENOENT)), metrics.ConnectRefused},
		{"our deadline", dial(context.DeadlineExceeded), metrics.ConnectTimeout},
		{"the socket's deadline", dial(os.ErrDeadlineExceeded), metrics.ConnectTimeout},
		{"the system gave up", dial(os.NewSyscallError("connect", syscall.ETIMEDOUT)), metrics.ConnectTimeout},
		{"the name server is slow", dial(&net.DNSError{IsTimeout: true}), metrics.ConnectTimeout},
		{"closed at once", dial(os.NewSyscallError("connect", syscall.ECONNRESET)), metrics.ConnectClosed},
		{"no such host", dial(&net.DNSError{IsNotFound: true}), metrics.ConnectError},
		{"no way there", dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), metrics.ConnectError},
		{"no descriptors left", dial(os.NewSyscallError("socket", syscall.EMFILE)), metrics.ConnectError},
		{"not allowed", dial(os.NewSyscallError("connect", syscall.EACCES)), metrics.ConnectError},
		{"anything", io.ErrUnexpectedEOF, metrics.ConnectError},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := dialReason(test.err); got != test.want {
				t.Errorf("%v is %q, want %q", test.err, got, test.want)
			}
		})
	}
}

// TestRealSockets: net.Dialer's errors are of the kinds that the rest assumes.
func TestRealSockets(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := tcp.Addr().String()
	tcp.Close()
	path := filepath.Join(t.TempDir(), "daemon")
	unix, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()

	set := metrics.New(metrics.Build{})
	r := &rig{set: set, Cluster: NewCluster(Config{
		Name:    "lab",
		Retries: -1,
		Members: []Member{
			{Address: Address{Network: "tcp", Addr: closed}},
			{Address: Address{Network: "unix", Addr: path + ".none"}},
			{Address: Address{Network: "unix", Addr: path}},
		},
		ConnectTimeout: time.Minute,
		Dialer:         &net.Dialer{},
		Metrics:        set,
	})}
	a := &Attempt{Dialect: v48}
	l := r.acquire(t, a)
	if got := l.Endpoint.Address.String(); got != "unix:"+path {
		t.Errorf("connected to %s", got)
	}
	l.Done(Unanswered)
	_, err = r.Acquire(t.Context(), a)
	for _, want := range []error{syscall.ECONNREFUSED, os.ErrNotExist, errUnanswered} {
		if !errors.Is(err, want) {
			t.Errorf("%v: it is no %v", err, want)
		}
	}
	if !strings.Contains(err.Error(), "unix:"+path+".none: ") {
		t.Errorf("%v does not name the socket", err)
	}
	if diff := cmp.Diff(map[string]float64{"refused": 2, "unanswered": 1}, r.failures(t)); diff != "" {
		t.Errorf("connect_failures_total (-want +got):\n%s", diff)
	}
	r.wantNoneOpen(t)
}
