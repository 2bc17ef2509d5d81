package relay_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// BenchmarkDelivery: blobs to one or several listeners, over TCP, beside plain calls of
// the same size in mode call (0 listeners).
func BenchmarkDelivery(b *testing.B) {
	for _, listeners := range []int{0, 1, 4} {
		for _, size := range []int{1 << 10, 1 << 20} {
			for _, clients := range []int{1, 16} {
				b.Run(fmt.Sprintf("%d_listeners/%dKiB/%d_clients", listeners, size>>10, clients), func(b *testing.B) {
					benchmarkDelivery(b, listeners, size, clients)
				})
			}
		}
	}
}

func benchmarkDelivery(b *testing.B, listeners, size, clients int) {
	var daemons []*pyrotest.Daemon
	for range max(1, listeners) {
		daemons = append(daemons, &pyrotest.Daemon{Discard: true})
	}
	r := start(b, &sockets{network: "tcp"}, setup{
		Call: true, Daemons: daemons, BufferMemory: 256 << 20,
		Cluster: func(c *backend.Config) { c.MaxConnections = 16 },
		Calls:   blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
	})
	var running sync.WaitGroup
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for i := range clients {
		c := r.connect(pyrotest.Client{Discard: true})
		m := blobCall(c, "topic", make([]byte, size))
		if listeners == 0 {
			m = c.InvokeMessage(make([]byte, size))
		}
		calls := b.N / clients
		if i < b.N%clients {
			calls++
		}
		running.Go(func() {
			for range calls {
				if _, err := c.Do(m); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	b.StopTimer()
}

// BenchmarkSpill: blobs of 64 MiB to one listener, from memory and from a file.
func BenchmarkSpill(b *testing.B) {
	for _, disk := range []bool{false, true} {
		b.Run(map[bool]string{false: "memory", true: "disk"}[disk], func(b *testing.B) {
			const size = 64 << 20
			s := setup{
				Call: true, Daemons: []*pyrotest.Daemon{{Discard: true}}, BufferMemory: 512 << 20,
				Env:   func(e *router.Env) { e.Limits.Delivery = 128 << 20 },
				Calls: blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
			}
			if disk {
				s.Spill = relay.Spill{Bytes: 256 << 20, Threshold: 4 << 20, Dir: b.TempDir()}
			}
			r := start(b, &sockets{network: "tcp"}, s)
			c := r.connect(pyrotest.Client{Discard: true})
			m := blobCall(c, "topic", make([]byte, size))
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Do(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
