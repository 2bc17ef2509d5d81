package balance

import (
	"math"
	"math/rand/v2"
	"sort"
)

// maxDraws bounds the draws of one choice, those that meet endpoints which
// cannot be used included. Then all endpoints are looked at.
const maxDraws = 32

// leastRequest takes the less loaded of two endpoints that chance proposes:
// nearly as good as the least loaded of all, without looking at all, and
// without every dispatcher running to the same one.
type leastRequest struct {
	weights []float64
	sums    []uint64 // sums[i] is what the weights up to and with i are together
	load    func(i int) int
	ramp    func(i int) float64
	rnd     *rand.Rand
}

// NewLeastRequest makes a Picker that draws two different endpoints in
// proportion to weight times ramp, and takes the less loaded one. load is how
// many calls an endpoint is busy with. ramp is the part of its weight that
// counts for the time being, in (0, 1]; nil is 1 for all.
//
// The first one drawn is taken, unless the other has less load for its weight,
// both as it is and with the call that is to come. So endpoints without load
// get calls in exact proportion to their weights, a lightly loaded strong one
// is not passed over for an idle weak one, and under load each endpoint's share
// of the calls in flight approaches its weight's.
func NewLeastRequest(weights []int, load func(i int) int, ramp func(i int) float64, rnd *rand.Rand) Picker {
	p := &leastRequest{
		weights: make([]float64, len(weights)),
		sums:    make([]uint64, len(weights)),
		load:    load,
		ramp:    ramp,
		rnd:     rnd,
	}
	var sum uint64
	for i, w := range weights {
		sum += uint64(weight(w))
		p.weights[i] = float64(weight(w))
		p.sums[i] = sum
	}
	return p
}

func (p *leastRequest) Pick(_ uint64, usable func(i int) bool) int {
	n := len(p.weights)
	first := -1
	for range min(n, maxDraws) { // where it comes to n, looking at all costs no more
		if first >= 0 && n == 1 {
			return first
		}
		i := p.draw(first)
		switch {
		case !usable(i) || !p.admit(i):
		case first < 0:
			first = i
		default:
			return p.lessLoaded(first, i)
		}
	}
	return p.pickOfAll(first, usable)
}

// draw returns an index other than the given one in proportion to the weights.
func (p *leastRequest) draw(other int) int {
	n := len(p.sums)
	total := p.sums[n-1]
	if other < 0 {
		return p.at(p.rnd.Uint64N(total))
	}
	w := uint64(p.weights[other])
	x := p.rnd.Uint64N(total - w)
	if x >= p.sums[other]-w {
		x += w
	}
	return p.at(x)
}

// at returns the index whose part of the sum of all weights x falls in.
func (p *leastRequest) at(x uint64) int {
	return sort.Search(len(p.sums), func(i int) bool { return x < p.sums[i] })
}

// admit turns a draw by weight into one by weight times ramp.
func (p *leastRequest) admit(i int) bool {
	r := factor(p.ramp, i)
	return r == 1 || p.rnd.Float64() < r
}

// pickOfAll is the choice where draws keep meeting endpoints that cannot be
// used. It draws from those that can, as the others would have: the smallest of
// exponential variates divided by the weights falls to each in proportion to
// its weight, and so does the second smallest among the rest. first is kept
// where it has been drawn already.
func (p *leastRequest) pickOfAll(first int, usable func(i int) bool) int {
	second := -1
	least, next := math.Inf(1), math.Inf(1)
	if first >= 0 {
		least = 0
	}
	for i := range p.weights {
		if i == first || !usable(i) {
			continue
		}
		x := p.rnd.ExpFloat64() / (p.weights[i] * factor(p.ramp, i))
		switch {
		case x < least:
			second, next = first, least
			first, least = i, x
		case x < next:
			second, next = i, x
		}
	}
	if second < 0 {
		return first
	}
	return p.lessLoaded(first, second)
}

// lessLoaded is the second of two where it is the less loaded one.
func (p *leastRequest) lessLoaded(first, second int) int {
	w1 := p.weights[first] * factor(p.ramp, first)
	w2 := p.weights[second] * factor(p.ramp, second)
	l1, l2 := float64(p.load(first)), float64(p.load(second))
	if l2*w1 < l1*w2 && (l2+1)*w1 < (l1+1)*w2 {
		return second
	}
	return first
}
