package relay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
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

// BenchmarkTimedCall: a call with everything that time and circles ask for, beside one
// without: a deadline, an id made for it, and its place in the graph of calls.
func BenchmarkTimedCall(b *testing.B) {
	for _, timed := range []bool{false, true} {
		for _, d := range dialects {
			b.Run(fmt.Sprintf("%s/%v", d, timed), func(b *testing.B) {
				r := start(b, &sockets{network: "tcp"}, setup{
					NoGraph: !timed, Daemons: []*pyrotest.Daemon{{Discard: true}},
					Route: func(r *router.Route) {
						if timed {
							r.Timeouts.Call, r.Policy.Preserve = 5*time.Second, false
						}
					},
				})
				c := r.connect(pyrotest.Client{Dialect: d, Discard: true})
				m := c.InvokeMessage(make([]byte, 100))
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
