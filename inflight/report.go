package inflight

import (
	"sync"
	"time"
)

// Reported is a circle that was reported.
type Reported struct {
	Circle
	Kind     Kind
	At       time.Duration
	Rejected bool // the call that would have closed it was
}

// maxReports is how many are kept.
const maxReports = 64

// circles are the last reports, the next of which takes the place of the oldest.
type circles struct {
	mu   sync.Mutex
	ring [maxReports]Reported
	n    int // how many there were
}

// Report keeps a circle for Circles.
func (g *Graph) Report(c Circle, kind Kind, at time.Duration, rejected bool) {
	l := &g.log
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.n%maxReports] = Reported{Circle: c, Kind: kind, At: at, Rejected: rejected}
	l.n++
}

// Circles gives the last reports, 64 at most, the newest first.
func (g *Graph) Circles() []Reported {
	l := &g.log
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Reported, 0, min(l.n, maxReports))
	for i := l.n - 1; i >= 0 && i >= l.n-maxReports; i-- {
		out = append(out, l.ring[i%maxReports])
	}
	return out
}
