package backend

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/health"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// inert is a connection on which nothing happens.
type inert struct{ net.Conn }

func (inert) Close() error                { return nil }
func (inert) RemoteAddr() net.Addr        { return nil }
func (inert) SetDeadline(time.Time) error { return nil }

// benched is a cluster whose every endpoint has an idle connection for a.
func benched(n int, balance Balance) (*Cluster, *Attempt) {
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("192.0.2.%d:%d", i%250, 9000+i/250)
	}
	c := NewCluster(Config{
		Name: "lab", Members: members(addresses...), Balance: balance,
		MaxConnections: 32, NestedReserve: 1, Queue: 1024, QueueTimeout: 30 * time.Second,
		SlowStart: 30 * time.Second, PanicThreshold: 25, MaxEjected: 50,
		Breaker: BreakerConfig{ConsecutiveFailures: 5, FailureRatio: 50, MinimumCalls: 20, Window: 10 * time.Second, Open: 5 * time.Second, Probes: 1},
		Outlier: health.OutlierConfig{ConsecutiveFailures: 5, FailureRatio: 50, MinimumCalls: 20, Window: 30 * time.Second, Ejection: 10 * time.Second, MaxEjection: 5 * time.Minute},
		Metrics: metrics.New(metrics.Build{}),
	})
	h := &Handshake{Dialect: wire.V502, users: 1, said: make(map[*Endpoint]said)}
	c.lock()
	for _, e := range c.members {
		conn := newConn(c, e, inert{}, h)
		conn.state = idle
		e.idle = append(e.idle, conn)
		e.conns++
		h.conns++
	}
	c.unlock()
	return c, &Attempt{Dialect: wire.V502, Handshake: h}
}

// BenchmarkLease is what a call costs in a cluster: an idle connection taken and
// given back, with breakers and outlier detection.
func BenchmarkLease(b *testing.B) {
	names := [...]string{RoundRobin: "round_robin", LeastRequest: "least_request", Hash: "hash"}
	for balance, name := range names {
		for _, n := range []int{1, 3, 1000} {
			b.Run(fmt.Sprintf("%s/%d endpoints", name, n), func(b *testing.B) {
				c, a := benched(n, Balance(balance))
				b.ReportAllocs()
				for b.Loop() {
					a.Again()
					a.HashKey += 0x9e3779b97f4a7c15
					l := c.TryLease(a)
					if l == nil {
						b.Fatal("nothing is to be had")
					}
					l.Done(Served)
				}
			})
		}
	}
}

// BenchmarkLeaseBehindQueue is the same where a thousand wait for what they cannot
// have: endpoints of the other dialect, or of their own that are busy.
func BenchmarkLeaseBehindQueue(b *testing.B) {
	for _, n := range []int{3, 1000} {
		b.Run(fmt.Sprintf("%d endpoints", n), func(b *testing.B) {
			c, a := benched(n, RoundRobin)
			c.members[0].declared = wire.V48
			c.lock()
			for range 1000 {
				c.waiting.add(&waiter{a: &Attempt{Dialect: wire.V48}, granted: make(chan grant, 1)})
			}
			for _, e := range c.members[1:] {
				e.declared = wire.V502
			}
			c.unlock()
			b.ReportAllocs()
			for b.Loop() {
				a.Again()
				l := c.TryLease(a)
				if l == nil {
					b.Fatal("nothing is to be had")
				}
				l.Done(Served)
			}
		})
	}
}

// BenchmarkQueue is what those who wait cost when a slot is passed on from one to
// the next, at the last of many endpoints that are all busy.
func BenchmarkQueue(b *testing.B) {
	for _, n := range []int{3, 1000} {
		b.Run(fmt.Sprintf("%d endpoints", n), func(b *testing.B) {
			c, a := benched(n, RoundRobin)
			c.Reconfigure(RoundRobin, 1, 0, 0)
			var l *Lease
			for range n {
				l = c.TryLease(a)
			}
			c.lock()
			var waiting []*waiter
			for range 1000 {
				w := &waiter{a: &Attempt{Dialect: wire.V502, Handshake: a.Handshake}, granted: make(chan grant, 1)}
				c.waiting.add(w)
				waiting = append(waiting, w)
			}
			c.unlock()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				l.Done(Served)
				w := waiting[i%1000]
				g := <-w.granted
				w.a.Again()
				c.lock()
				l = c.newLease(g, w.a)
				w = &waiter{a: w.a, granted: w.granted}
				c.waiting.add(w)
				c.unlock()
				waiting[i%1000] = w
			}
		})
	}
}

// BenchmarkLook is a look at a thousand who wait for a thousand endpoints that are
// all busy.
func BenchmarkLook(b *testing.B) {
	for _, tried := range []int{0, 1} {
		b.Run(fmt.Sprintf("%d tried", tried), func(b *testing.B) {
			c, a := benched(1000, RoundRobin)
			c.Reconfigure(RoundRobin, 1, 0, 0)
			for range 1000 {
				c.TryLease(a)
			}
			c.lock()
			defer c.unlock()
			for range 1000 {
				a := &Attempt{Dialect: wire.V502, Handshake: a.Handshake}
				for i := range tried {
					a.try(c.members[i])
				}
				c.waiting.add(&waiter{a: a, granted: make(chan grant, 1)})
			}
			for b.Loop() {
				c.serveAll()
			}
		})
	}
}
