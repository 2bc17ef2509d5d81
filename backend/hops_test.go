package backend

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestExplained: a broken call is not held against an endpoint from whose host
// another call came that has just failed.
func TestExplained(t *testing.T) {
	tests := []struct {
		name      string
		from      string
		ago       time.Duration // before the lease
		after     time.Duration // between that call's failure and the lease's end
		explained bool
	}{
		{"from there, meanwhile", "192.0.2.1", 0, 0, true},
		{"mapped to IPv6", "::ffff:192.0.2.1", 0, 0, true},
		{"from elsewhere", "192.0.2.7", 0, 0, false},
		{"before the lease", "192.0.2.1", time.Second, 0, false},
		{"long ago, in a long session", "192.0.2.1", 0, 2 * time.Minute, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := breaking(addrA)
				cfg.Breaker.ConsecutiveFailures = 1
				cfg.Hops = &Hops{}
				r := newRigWith(cfg)
				r.open(t, addrA)
				if test.ago > 0 {
					cfg.Hops.Failed(netip.MustParseAddr(test.from))
					time.Sleep(test.ago)
				}
				l := r.acquire(t, nil)
				l.Answered(v502)
				time.Sleep(time.Second)
				if test.ago == 0 {
					cfg.Hops.Failed(netip.MustParseAddr(test.from))
				}
				time.Sleep(test.after)
				l.Done(Broken)
				if got := r.breaker(t, addrA); (got == "closed") != test.explained {
					t.Errorf("the breaker is %s", got)
				}
				if got := r.samples(t, "endpoint_failures_explained_total", "endpoint")[addrA]; (got == 1) != test.explained {
					t.Errorf("endpoint_failures_explained_total is %v", got)
				}
			})
		})
	}
}

// TestHopsBounded: however many hosts fail, what is remembered of them is bounded,
// and old memories make room.
func TestHopsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Hops
		first := netip.MustParseAddr("10.0.0.0")
		addr := first
		for range 2 * maxHops {
			h.Failed(addr)
			addr = addr.Next()
		}
		if len(h.failed) > maxHops {
			t.Errorf("%d hosts", len(h.failed))
		}
		time.Sleep(hopMemory + 1)
		h.Failed(addr)
		if len(h.failed) != 1 {
			t.Errorf("%d hosts", len(h.failed))
		}
		var none *Hops
		none.Failed(addr)
		if none.explains(nil, time.Now()) {
			t.Error("nothing explains a failure")
		}
	})
}

// TestHopsOfOneMachine: loopback addresses and Unix sockets are all this machine.
func TestHopsOfOneMachine(t *testing.T) {
	ends := map[string]struct {
		source netip.Addr
		addr   net.Addr
	}{
		"Unix socket":    {netip.Addr{}, &net.UnixAddr{Name: "/run/daemon"}},
		"127.0.0.1":      {netip.MustParseAddr("127.0.0.1"), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}},
		"::1":            {netip.MustParseAddr("::1"), &net.TCPAddr{IP: net.IPv6loopback}},
		"mapped to IPv6": {netip.MustParseAddr("::ffff:127.3.2.1"), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7).To16()}},
	}
	for from, a := range ends {
		var h Hops
		since := time.Now()
		h.Failed(a.source)
		for to, b := range ends {
			if !h.explains(b.addr, since) {
				t.Errorf("a call from %s does not explain one to %s", from, to)
			}
		}
		if h.explains(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, since) {
			t.Errorf("a call from %s explains one to another machine", from)
		}
	}
}
