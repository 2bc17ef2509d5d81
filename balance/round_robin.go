package balance

import (
	"math"
	"math/rand/v2"
)

const (
	// looks is how many of those that could not be used are looked at again in
	// each choice: few, so that many which are down cost little; and all of them
	// where only few are down.
	looks = 8

	// rebase is the virtual time from which all times are moved back to about 0,
	// where floating point numbers are fine enough.
	rebase = 1024

	// slack is what rounding may make of a virtual time.
	slack = 1e-9
)

// roundRobin gives each endpoint its turns at regular distances of virtual
// time, 1/weight apart: the next turn of an endpoint has to come between its
// start and its finish. Virtual time is the mean of the starts, by weight, so
// that it moves on with each choice. Of those whose start has come, the one
// with the earliest finish is chosen (worst-case fair queueing, WF²Q). That
// keeps each endpoint within one turn of its exact share at all times, which is
// what nginx's smooth weighted round robin is for, but takes O(log n).
//
// One that cannot be used when its turn comes is parked, out of the virtual
// time: its turns go to all others in proportion. Parked ones are looked at
// again in each choice. One that comes back before it has missed a whole turn
// is first in line; any other is lined up at a random point of its turn, so
// that many which come back together get their share, and no more, from the
// first choice on.
type roundRobin struct {
	weights []float64 // as given, the largest being 1
	ramp    func(i int) float64
	rnd     *rand.Rand

	counted []float64 // the weights with ramps as they were at the last turn
	start   []float64
	finish  []float64

	due     heap // by finish: those whose start has come
	later   heap // by start
	parked  []int32
	running int     // how many are not parked
	total   float64 // of counted, of those not parked
	sum     float64 // of counted times start, of those not parked
	now     float64 // virtual time
}

// NewRoundRobin makes a Picker that goes round all endpoints, to each as often
// as its weight says, in turns as evenly spread as can be; for equal weights
// strictly in turn. ramp is the part of an endpoint's weight that counts for the
// time being, in (0, 1]; nil is 1 for all. It is asked once for each turn.
//
// Where usable says something else for some callers than for others, lastingly
// (clients of two protocols, say), each kind of callers should have a Picker of
// its own. They may share one, and no endpoint goes without, but shares are
// then only roughly by weight.
func NewRoundRobin(weights []int, ramp func(i int) float64) Picker {
	n := len(weights)
	p := &roundRobin{
		weights: make([]float64, n),
		ramp:    ramp,
		rnd:     rand.New(rand.NewPCG(1, 2)), // no luck needed, only no pattern
		counted: make([]float64, n),
		start:   make([]float64, n),
		finish:  make([]float64, n),
		parked:  make([]int32, 0, n),
	}
	p.due = heap{key: p.finish, items: make([]int32, 0, n)}
	p.later = heap{key: p.start, items: make([]int32, 0, n)}
	most := 1
	for _, w := range weights {
		most = max(most, weight(w))
	}
	for i, w := range weights {
		p.weights[i] = float64(weight(w)) / float64(most)
		p.line(i, 0)
	}
	return p
}

func (p *roundRobin) Pick(_ uint64, usable func(i int) bool) int {
	p.recall(looks, usable)
	for all := false; ; {
		i := p.next()
		switch {
		case i < 0 && all:
			return -1
		case i < 0:
			p.recall(len(p.parked), usable)
			all = true
		case !usable(i):
			p.parked = append(p.parked, int32(i))
		default:
			p.line(i, p.finish[i])
			return i
		}
	}
}

// line puts an endpoint that is in no heap in line for the turn that starts
// then.
func (p *roundRobin) line(i int, start float64) {
	w := p.weights[i] * factor(p.ramp, i)
	p.counted[i] = w
	p.start[i] = start
	p.finish[i] = start + 1/w
	p.running++
	p.total += w
	p.sum += w * start
	p.later.push(int32(i))
}

// next takes the endpoint whose turn it is out of line, -1 where none is in it.
func (p *roundRobin) next() int {
	if p.running == 0 {
		return -1
	}
	p.now = p.sum / p.total
	if p.now > rebase {
		p.moveBack()
	}
	for len(p.later.items) > 0 && (p.start[p.later.items[0]] <= p.now+slack || len(p.due.items) == 0) {
		p.due.push(p.later.pop())
	}
	i := p.due.pop()
	p.running--
	p.total -= p.counted[i]
	p.sum -= p.counted[i] * p.start[i]
	if p.running == 0 {
		p.total, p.sum = 0, 0 // exactly
	}
	return int(i)
}

// recall looks at up to n of the parked endpoints, and lines up those that can
// be used.
func (p *roundRobin) recall(n int, usable func(i int) bool) {
	n = min(n, len(p.parked))
	if n == 0 {
		return
	}
	at := p.rnd.IntN(len(p.parked))
	for range n {
		if at >= len(p.parked) {
			at = 0
		}
		i := int(p.parked[at])
		if !usable(i) {
			at++
			continue
		}
		last := len(p.parked) - 1
		p.parked[at] = p.parked[last]
		p.parked = p.parked[:last]
		start := p.start[i]
		if p.finish[i] < p.now {
			w := p.weights[i] * factor(p.ramp, i)
			start = p.now - p.rnd.Float64()/w
		}
		p.line(i, start)
	}
}

// moveBack subtracts the whole part of the virtual time from all times; whole,
// because what was exact stays so. The sums are made anew, without the rounding
// errors that have come together.
func (p *roundRobin) moveBack() {
	by := math.Floor(p.now)
	for i := range p.start {
		p.start[i] -= by
		p.finish[i] -= by
	}
	p.total, p.sum = 0, 0
	for _, h := range []*heap{&p.due, &p.later} {
		for _, i := range h.items {
			p.total += p.counted[i]
			p.sum += p.counted[i] * p.start[i]
		}
	}
	p.now = p.sum / p.total
}
