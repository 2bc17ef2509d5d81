package balance

import (
	"fmt"
	"testing"
)

// BenchmarkPick is the cost of one choice by the number of endpoints, with all
// of them usable and with a tenth down. The hash sees 1,000 keys in turn, and
// in "hash, new keys" none twice.
func BenchmarkPick(b *testing.B) {
	for _, n := range []int{3, 1000} {
		for _, state := range []struct {
			name   string
			usable func(int) bool
		}{{"all up", all}, {"a tenth down", func(i int) bool { return i%10 != 1 }}} {
			for _, name := range []string{"least_request", "round_robin", "hash", "hash, new keys"} {
				b.Run(fmt.Sprintf("%s/%d endpoints/%s", name, n, state.name), func(b *testing.B) {
					keys := uint64(1000)
					kind := name
					if name == "hash, new keys" {
						kind, keys = "hash", 1<<60
					}
					p := pickers(mixed(n))[kind]
					b.ReportAllocs()
					k := uint64(0)
					for b.Loop() {
						p.Pick(k%keys*0x9e3779b97f4a7c15, state.usable)
						k++
					}
				})
			}
		}
	}
}

// BenchmarkNew is the cost of a change of membership.
func BenchmarkNew(b *testing.B) {
	for _, n := range []int{3, 1000} {
		b.Run(fmt.Sprintf("%d endpoints", n), func(b *testing.B) {
			names, weights, rnd := addresses(n), mixed(n), random()
			for name, make := range map[string]func() Picker{
				"least_request": func() Picker { return NewLeastRequest(weights, no, nil, rnd) },
				"round_robin":   func() Picker { return NewRoundRobin(weights, nil) },
				"hash":          func() Picker { return NewHash(names, weights) },
			} {
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						make()
					}
				})
			}
		})
	}
}
