package backend

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestGreetErrors: an endpoint that does not answer a CONNECT as Pyro does is
// passed over, blamed, and left with nothing of ours.
func TestGreetErrors(t *testing.T) {
	lie := func(annotations, data uint32) pyrotest.Script {
		return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			m.Head.Type = wire.ConnectOK
			m.Head.AnnotationsLen, m.Head.DataLen = annotations, data
			c.Write(wire.AppendHead(nil, m.Head))
		}
	}
	tests := []struct {
		name   string
		script pyrotest.Script
		reason string
		cause  error
		fails  bool // it is the endpoint's fault
	}{
		{"silent", pyrotest.Silence, "unanswered", errUnanswered, true},
		{"hangs up", pyrotest.Hangup, "closed", errBroken, true},
		{"resets", pyrotest.ResetConn, "closed", errBroken, true},
		{"half an answer", pyrotest.Steps(pyrotest.HalfReply, pyrotest.Hangup), "closed", errBroken, true},
		{"half a header", pyrotest.Steps(pyrotest.Garbage([]byte("PYRO\x01\xf6\x02")), pyrotest.Hangup), "closed", errBroken, true},
		{"half an answer, then nothing", pyrotest.HalfReply, "unanswered", errUnanswered, true},
		{"no Pyro", pyrotest.Garbage([]byte("SSH-2.0-OpenSSH_9.9\r\n")), "garbled", errGarbled, true},
		{"a RESULT", pyrotest.Echo, "garbled", errGarbled, true},
		{"a PING", pyrotest.Pong, "garbled", errGarbled, true},
		{"too long", lie(0, 1<<31), "garbled", errGarbled, true},
		{"too long an annotation", lie(1<<31, 0), "garbled", errGarbled, true},
		{"shorter than it says", pyrotest.Steps(lie(0, 60_000), pyrotest.Hangup), "closed", errBroken, true},
		{"the other dialect", pyrotest.OtherDialect(pyrotest.AcceptConnect), "other_dialect", errOtherDialect, false},
		{"refused in the other dialect", pyrotest.OtherDialect(pyrotest.RejectConnect("what?")), "other_dialect", errOtherDialect, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := pooling(addrA, addrB)
				cfg.MaxAnswer = 64 << 10
				cfg.Breaker = BreakerConfig{ConsecutiveFailures: 1, Open: time.Hour}
				r := newRigWith(cfg)
				bad := r.daemon(t, addrA, &pyrotest.Daemon{OnConnect: test.script})
				r.daemon(t, addrB, &pyrotest.Daemon{})
				c := r.newClient(v502, "x")
				if err := c.shake(t.Context()); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{addrA, addrB}, r.dialled); diff != "" {
					t.Errorf("dialled (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(map[string]float64{test.reason: 1}, r.failures(t)); diff != "" {
					t.Errorf("connect_failures_total (-want +got):\n%s", diff)
				}
				if err := errors.Join(c.a.failures...); !errors.Is(err, test.cause) {
					t.Errorf("the attempt remembers %v", err)
				}
				if got := r.breaker(t, addrA); (got == "open") != test.fails {
					t.Errorf("the breaker is %s", got)
				}
				r.of(t, addrA, func(e *Endpoint) {
					if e.conns != 0 || e.opening != 0 {
						t.Errorf("%d connections, %d being opened", e.conns, e.opening)
					}
				})
				synctest.Wait()
				if n := bad.Open(); n != 0 {
					t.Errorf("%d connections are open", n)
				}
				c.leave()
				r.wantQuiet(t)
			})
		})
	}
}

// TestGreetCancelled: a client that goes in the middle of opening a connection
// leaves nothing behind, and nobody is to blame.
func TestGreetCancelled(t *testing.T) {
	for name, d := range map[string]*pyrotest.Daemon{
		"dialing":                nil,
		"waiting for the answer": {OnConnect: pyrotest.Silence},
		"in half of it":          {OnConnect: pyrotest.HalfReply},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := pooling(addrA)
				cfg.Breaker = BreakerConfig{ConsecutiveFailures: 1, Open: time.Hour}
				r := newRigWith(cfg)
				if d == nil {
					r.network.BlackHole(addrA)
				} else {
					r.daemon(t, addrA, &pyrotest.Daemon{OnConnect: d.OnConnect})
				}
				c := r.newClient(v502, "x")
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				if err := c.shake(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
				r.wantBreaker(t, "cancelled", "closed")
				if failures := r.failures(t); len(failures) > 0 {
					t.Errorf("counted %v", failures)
				}
				c.leave()
				r.wantQuiet(t)
			})
		})
	}
}

// lastMoment is a connection whose client goes when the last byte of an answer has
// been read.
type lastMoment struct {
	net.Conn
	cancel func()
}

func (c lastMoment) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.Conn.(*pyrotest.Conn).Buffered() == 0 {
		c.cancel()
	}
	return n, err
}

// TestCancelledAtTheLastMoment: a connection whose deadline was moved because its
// client went is not for others, whatever the daemon has answered.
func TestCancelledAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA))
		r.daemon(t, addrA, &pyrotest.Daemon{})
		ctx, cancel := context.WithCancel(t.Context())
		r.cfg.Dialer = dialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := r.network.DialContext(ctx, network, address)
			return lastMoment{conn, cancel}, err
		})
		c := r.newClient(v502, "x")
		if l, err := r.Acquire(ctx, c.a); !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v, %v", l, err)
		}
		c.leave()
		r.wantQuiet(t)
	})
}

type dialerFunc func(ctx context.Context, network, address string) (net.Conn, error)

func (f dialerFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

// TestTurnsOfCalls: endpoints have their turns, although a lease is first tried to
// be had at once, and although that is in vain for those without connections.
func TestTurnsOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(pooling(addrA, addrB))
		r.daemon(t, addrA, &pyrotest.Daemon{})
		r.daemon(t, addrB, &pyrotest.Daemon{})
		c := r.connected(t, "x")
		got := ""
		for range 8 {
			got += map[string]string{addrA: "a", addrB: "b"}[c.mustCall(t)]
		}
		if got != "babababa" { // A has had the CONNECT
			t.Errorf("calls went to %s", got)
		}
		c.leave()
		r.wantQuiet(t)
	})
}

// TestHashedCalls: equal keys go to one endpoint, and stay there call by call.
func TestHashedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pooling(addrABCD...)
		cfg.Balance = Hash
		r := newRigWith(cfg)
		for _, addr := range addrABCD {
			r.daemon(t, addr, &pyrotest.Daemon{})
		}
		c := r.connected(t, "x")
		owner := make(map[uint64]string)
		for range 5 {
			for key := range uint64(20) {
				c.a.HashKey = key * 0x9e3779b97f4a7c15
				addr := c.mustCall(t)
				if owner[key] == "" {
					owner[key] = addr
				}
				if addr != owner[key] {
					t.Fatalf("key %d went to %s, then to %s", key, owner[key], addr)
				}
			}
		}
		c.leave()
		r.wantQuiet(t)
	})
}

// TestRetries: no more endpoints are tried for one search than may be.
func TestRetries(t *testing.T) {
	for _, retries := range []int{-1, 1, 2} {
		synctest.Test(t, func(t *testing.T) {
			r := newRigWith(Config{Members: members(addrABCD...), Retries: retries})
			r.open(t, addrD)
			_, err := r.Acquire(t.Context(), &Attempt{Dialect: v502})
			if retries < 0 {
				if err != nil || len(r.dialled) != 4 {
					t.Errorf("all may be tried: %v after %v", err, r.dialled)
				}
			} else if !errors.Is(err, ErrUnreachable) || len(r.dialled) != retries+1 {
				t.Errorf("%d retries: %v after %v", retries, err, r.dialled)
			}
		})
	}
}

// TestBudget: so many of the calls may be sent again, and a few at first.
func TestBudget(t *testing.T) {
	spend := func(r *rig) (n int) {
		for r.Spend() == nil {
			n++
		}
		return n
	}
	none := newRigWith(Config{})
	none.Earn()
	if n := spend(none); n != 0 {
		t.Errorf("%d without a budget", n)
	}
	r := newRigWith(Config{RetryBudget: 20})
	if n := spend(r); n != minTokens {
		t.Errorf("%d at first", n)
	}
	for range 100 {
		r.Earn()
	}
	if n := spend(r); n != 20 && n != 19 { // tokens are parts
		t.Errorf("%d of 100 calls", n)
	}
	for range 10_000 {
		r.Earn()
	}
	if n := spend(r); n != maxTokens {
		t.Errorf("%d after very many", n)
	}
	if got := r.samples(t, "resend_budget_exhausted_total", "cluster")["lab"]; got != 3 {
		t.Errorf("resend_budget_exhausted_total is %v", got)
	}
}
