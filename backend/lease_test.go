package backend

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDone checks what each outcome counts as, before and after the endpoint
// has answered the CONNECT.
func TestDone(t *testing.T) {
	tests := []struct {
		name    string
		outcome Outcome
		reason  string // of connect_failures_total, "" where it counts as none
		err     error  // that the attempt remembers
	}{
		{"Served", Served, "", nil},
		{"Cancelled", Cancelled, "", nil},
		{"Refused", Refused, "", nil},
		{"OtherDialect", OtherDialect, "other_dialect", errOtherDialect},
		{"Unanswered", Unanswered, "unanswered", errUnanswered},
		{"Broken", Broken, "closed", errBroken},
		{"Garbled", Garbled, "garbled", errGarbled},
	}
	for _, test := range tests {
		for _, answered := range []bool{false, true} {
			name, reason, cause := test.name, test.reason, test.err
			if answered {
				name, reason, cause = name+" after the answer", "", nil
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(addrA)
				r.open(t, addrA)
				a := &Attempt{Dialect: v502}
				l := r.acquire(t, a)
				if answered {
					l.Answered(v502)
				}
				l.Done(test.outcome)

				want := map[string]float64{}
				if reason != "" {
					want[reason] = 1
				}
				if diff := cmp.Diff(want, r.failures(t)); diff != "" {
					t.Errorf("connect_failures_total (-want +got):\n%s", diff)
				}
				if got := errors.Join(a.failures...); !errors.Is(got, cause) {
					t.Errorf("the attempt remembers %v, want %v", got, cause)
				}
				if _, err := l.Conn.Write(nil); !errors.Is(err, net.ErrClosed) {
					t.Errorf("the connection is not closed: %v", err)
				}
				r.wantNoneOpen(t)
			})
		}
	}
}

func TestDoneTwice(t *testing.T) {
	r := newRig(addrA)
	r.open(t, addrA)
	l := r.acquire(t, nil)
	l.Done(Broken)
	func() {
		defer func() {
			if got := recover(); got != "backend: Lease.Done called twice" {
				t.Errorf("recovered %v", got)
			}
		}()
		l.Done(Broken)
	}()
	if diff := cmp.Diff(map[string]float64{"closed": 1}, r.failures(t)); diff != "" {
		t.Errorf("connect_failures_total (-want +got):\n%s", diff)
	}
	r.wantNoneOpen(t)
}

// TestDoneAtOnce: of owners who each believe the lease to be theirs, one ends
// it and the others panic.
func TestDoneAtOnce(t *testing.T) {
	r := newRig(addrA)
	r.open(t, addrA)
	const owners = 4
	for range 100 {
		l := r.acquire(t, nil)
		var panics atomic.Int32
		var wg sync.WaitGroup
		for range owners {
			wg.Go(func() {
				defer func() {
					if recover() != nil {
						panics.Add(1)
					}
				}()
				l.Done(Unanswered)
			})
		}
		wg.Wait()
		if n := panics.Load(); n != owners-1 {
			t.Fatalf("%d of %d panicked", n, owners)
		}
	}
	if diff := cmp.Diff(map[string]float64{"unanswered": 100}, r.failures(t)); diff != "" {
		t.Errorf("connect_failures_total (-want +got):\n%s", diff)
	}
	r.wantNoneOpen(t)
}

// TestLeasesAtOnce has many clients learn, fail and leave at the same time, for
// the race detector and the account at the end.
func TestLeasesAtOnce(t *testing.T) {
	r := newRig(addrABCD...)
	r.open(t, addrA, addrB, addrC)
	outcomes := []Outcome{Served, Cancelled, OtherDialect, Unanswered, Broken, Garbled}
	var ended atomic.Int64
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				a := &Attempt{Dialect: v48}
				if (g+i)%3 == 0 {
					a.Dialect = v502
				}
				for {
					l, err := r.Acquire(t.Context(), a)
					if err != nil {
						break
					}
					ended.Add(1)
					o := outcomes[(g*7+i)%len(outcomes)]
					if o == Served {
						l.Answered(a.Dialect)
					}
					l.Done(o)
					if o == Served || o == Cancelled {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	if ended.Load() == 0 {
		t.Error("nobody got a lease")
	}
	r.wantNoneOpen(t)
}

func TestAddress(t *testing.T) {
	for want, a := range map[string]Address{
		"192.0.2.1:9999":       {"tcp", "192.0.2.1:9999"},
		"[2001:db8::1]:9999":   {"tcp", "[2001:db8::1]:9999"},
		"unix:/run/daemon":     {"unix", "/run/daemon"},
		"camera.example:55555": {"tcp", "camera.example:55555"},
	} {
		if got := a.String(); got != want {
			t.Errorf("%#v is written %s, want %s", a, got, want)
		}
	}
}
