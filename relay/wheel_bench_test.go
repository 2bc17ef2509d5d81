package relay

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkDeadlines: what the deadline of a call costs, alone and beside a hundred
// thousand others that are armed, and swept all the while.
func BenchmarkDeadlines(b *testing.B) {
	for _, armed := range []int{0, 100_000} {
		b.Run(fmt.Sprint(armed), func(b *testing.B) {
			w, clock := newTestWheel()
			others := make([]timer, armed)
			for i := range others {
				w.set(&others[i], *clock+5*time.Second+time.Duration(i)*time.Microsecond)
			}
			var t timer
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				*clock += 20 * time.Microsecond // what a call takes
				w.set(&t, *clock+5*time.Second)
				if i%5000 == 0 { // a tick
					due(w, *clock)
				}
			}
		})
	}
}
