package backend

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/health"
)

// ejecting is a cluster of sessions, of which two failures in a row eject an
// endpoint.
func ejecting(addresses ...string) Config {
	return Config{
		Members: members(addresses...), MaxEjected: 50, PanicThreshold: 25,
		Outlier: health.OutlierConfig{ConsecutiveFailures: 2, Window: 30 * time.Second, Ejection: 10 * time.Second, MaxEjection: time.Minute},
	}
}

// fail has sessions at the address fail so often, and no others.
func (r *rig) fail(t *testing.T, address string, times int) {
	t.Helper()
	for range 100 * times {
		l := r.acquire(t, nil)
		if l.Endpoint.Address.Addr != address {
			l.Done(Cancelled)
			continue
		}
		l.Done(Broken)
		if times--; times == 0 {
			return
		}
	}
	t.Fatalf("no session gets to %s", address)
}

// goes counts by endpoint where n sessions go.
func (r *rig) goes(t *testing.T, n int) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for range n {
		l := r.acquire(t, nil)
		got[l.Endpoint.Address.Addr]++
		l.Done(Served)
	}
	return got
}

// TestEjection: an endpoint that fails is left out for a time that grows.
func TestEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(ejecting(addrA, addrB, addrC))
		r.open(t, addrA, addrB, addrC)
		stop := r.run(t)
		for i, length := range []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second} {
			r.fail(t, addrA, 2)
			if diff := cmp.Diff(map[string]int{addrB: 6, addrC: 6}, r.goes(t, 12)); diff != "" {
				t.Errorf("ejection %d (-want +got):\n%s", i, diff)
			}
			state, why := r.state(t, addrA)
			if state != "ejected" || !strings.HasPrefix(why, "2 failures in a row, until ") {
				t.Errorf("it is %s: %s", state, why)
			}
			if got := r.samples(t, "endpoint_ejected", "endpoint")[addrA]; got != 1 {
				t.Errorf("endpoint_ejected is %v", got)
			}
			time.Sleep(length - time.Nanosecond)
			if state, _ := r.state(t, addrA); state != "ejected" {
				t.Errorf("shortly before its time it is %s", state)
			}
			time.Sleep(time.Nanosecond)
			if state, _ := r.state(t, addrA); state != "up" {
				t.Errorf("after its time it is %s", state)
			}
			if got := r.goes(t, 12); got[addrA] == 0 {
				t.Errorf("after its time: %v", got)
			}
		}
		time.Sleep(tendEvery)
		synctest.Wait()
		if got := r.samples(t, "endpoint_ejected", "endpoint"); len(got) > 0 {
			t.Errorf("endpoint_ejected is %v", got)
		}
		if got := r.samples(t, "endpoint_ejections_total", "endpoint")[addrA]; got != 3 {
			t.Errorf("endpoint_ejections_total is %v", got)
		}
		stop()
		r.wantQuiet(t)
	})
}

// TestMaxEjected: no more endpoints are ejected than may be, and never the last.
func TestMaxEjected(t *testing.T) {
	tests := []struct {
		n, percent int
		fail       []string
		ejected    int
	}{
		{4, 50, addrABCD[:3], 2},
		{4, 100, addrABCD, 3},
		{4, 10, addrABCD[:2], 1},
		{4, 0, addrABCD[:2], 0},
		{1, 100, addrABCD[:1], 0},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d percent of %d", test.percent, test.n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := ejecting(addrABCD[:test.n]...)
				cfg.MaxEjected, cfg.PanicThreshold = test.percent, 0
				r := newRigWith(cfg)
				r.open(t, addrABCD...)
				for _, addr := range test.fail {
					r.fail(t, addr, 2)
				}
				n := 0
				for _, s := range r.Status().Endpoints {
					if s.State == "ejected" {
						n++
					}
				}
				if n != test.ejected {
					t.Errorf("%d are ejected, want %d", n, test.ejected)
				}
				refused := r.samples(t, "ejections_refused_total", "cluster")["lab"]
				if want := float64(len(test.fail) - test.ejected); refused != want {
					t.Errorf("ejections_refused_total is %v, want %v", refused, want)
				}
			})
		})
	}
}

// TestPanic: when too few endpoints are well, all are used.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := ejecting(addrABCD...)
		cfg.MaxEjected, cfg.PanicThreshold = 100, 60
		r := newRigWith(cfg)
		r.open(t, addrABCD...)
		stop := r.run(t)
		r.fail(t, addrA, 2)
		if diff := cmp.Diff(map[string]int{addrB: 4, addrC: 4, addrD: 4}, r.goes(t, 12)); diff != "" {
			t.Errorf("three are well (-want +got):\n%s", diff)
		}
		r.fail(t, addrB, 2)
		if s := r.Status(); !s.Panic {
			t.Error("half of them are well, and there is no panic")
		}
		if got := r.goes(t, 12); len(got) != 4 {
			t.Errorf("in panic: %v", got)
		}
		if got := r.samples(t, "cluster_panic", "cluster")["lab"]; got != 1 {
			t.Errorf("cluster_panic is %v", got)
		}
		time.Sleep(10*time.Second + tendEvery)
		synctest.Wait()
		if s := r.Status(); s.Panic {
			t.Error("there is panic although all are well")
		}
		stop()
		r.wantQuiet(t)
	})
}

// TestSlowStart: an endpoint that comes back gets its share little by little.
func TestSlowStart(t *testing.T) {
	for _, balance := range []Balance{RoundRobin, LeastRequest} {
		synctest.Test(t, func(t *testing.T) {
			cfg := ejecting(addrA, addrB)
			cfg.SlowStart, cfg.Balance = 30*time.Second, balance
			r := newRigWith(cfg)
			r.open(t, addrA, addrB)
			r.fail(t, addrA, 2)
			time.Sleep(10 * time.Second) // now it is back
			const n = 1000               // sessions in each step
			for i, share := range []float64{0.1, 0.4, 0.7, 1, 1} {
				// Of the weight of both, which share is a part. Chance may be off by five
				// standard deviations (p < 1e-6).
				p := share / (1 + share)
				tolerance := 5 * math.Sqrt(n*p*(1-p))
				got := float64(r.goes(t, n)[addrA])
				if math.Abs(got-n*p) > tolerance {
					t.Errorf("balance %d, step %d: %v of %d sessions, want %.0f±%.0f", balance, i, got, n, n*p, tolerance)
				}
				time.Sleep(10 * time.Second)
			}
			r.wantQuiet(t)
		})
	}
}
