package relay_test

import (
	"fmt"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// BenchmarkCall is one small call after another of one client, over TCP, in both
// modes.
func BenchmarkCall(b *testing.B) {
	for _, call := range []bool{false, true} {
		mode := "session"
		if call {
			mode = "call"
		}
		for _, size := range []int{100, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%d", mode, size), func(b *testing.B) {
				r := start(b, &sockets{network: "tcp"}, setup{Call: call, Daemons: []*pyrotest.Daemon{{Discard: true}}})
				c := r.connect(pyrotest.Client{Discard: true})
				m := c.InvokeMessage(make([]byte, size))
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.Do(m); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
