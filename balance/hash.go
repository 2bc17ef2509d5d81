package balance

import "math"

const (
	// choices is how many of a key's endpoints are remembered, best first.
	choices = 4
	// memoSize is how many keys are remembered, a power of 2.
	memoSize = 4096
	// memoFrom is the number of endpoints from which remembering pays.
	memoFrom = 16
)

// hash is weighted rendezvous hashing: every endpoint has a score for each key,
// and the best one gets it. So a key moves only where its endpoint goes, or one
// comes that is better for it; and an endpoint that cannot be used is for its
// keys as if it were not there: they spread over all others, and stay where
// they are should it vanish altogether.
//
// All endpoints' scores cost a few nanoseconds each. The best few endpoints of a
// key are remembered, so that keys in use pay for that once.
type hash struct {
	seeds   []uint64 // hashes of the names
	weights []float64
	memo    []memo // nil for few endpoints
}

// memo is the best endpoints for one key. Its zero value is that of no key.
type memo struct {
	key  uint64
	best [choices]int32 // indexes plus 1
}

// NewHash makes a Picker that gives equal keys to the same endpoint, and each
// endpoint keys in proportion to its weight. The names (addresses) and weights
// decide, not their order, so that dispatchers which know the same endpoints
// agree.
func NewHash(names []string, weights []int) Picker {
	p := &hash{seeds: make([]uint64, len(names)), weights: make([]float64, len(names))}
	for i, name := range names {
		p.seeds[i] = KeyString(name)
		p.weights[i] = float64(weight(weights[i]))
	}
	if len(names) >= memoFrom {
		p.memo = make([]memo, memoSize)
	}
	return p
}

func (p *hash) Pick(key uint64, usable func(i int) bool) int {
	if p.memo != nil {
		m := &p.memo[key%memoSize]
		if m.key != key || m.best[0] == 0 {
			p.remember(m, key)
		}
		for _, i := range m.best {
			if i := int(i) - 1; usable(i) {
				return i
			}
		}
	}
	best, least := -1, math.Inf(1)
	for i, score := p.below(0, key, least); i >= 0; i, score = p.below(i+1, key, least) {
		if usable(i) {
			best, least = i, score
		}
	}
	return best
}

// remember finds the best endpoints for key.
func (p *hash) remember(m *memo, key uint64) {
	m.key = key
	const last = choices - 1
	var scores [choices]float64
	for at := range scores {
		scores[at] = math.Inf(1)
	}
	for i, score := p.below(0, key, scores[last]); i >= 0; i, score = p.below(i+1, key, scores[last]) {
		at := last
		for ; at > 0 && score < scores[at-1]; at-- {
			scores[at], m.best[at] = scores[at-1], m.best[at-1]
		}
		scores[at], m.best[at] = score, int32(i+1)
	}
}

// below finds the first endpoint, from the given one on, whose score for key is
// below the limit; -1 where there is none. A score is an exponential variate
// made of key and endpoint, divided by the weight: the smallest one falls to
// each endpoint in proportion to its weight.
func (p *hash) below(from int, key uint64, limit float64) (i int, score float64) {
	const whole = 1 << 53 // as many values are exact in a float64
	for i := from; i < len(p.seeds); i++ {
		u := float64(int64(mix(key^p.seeds[i])>>11)) / whole
		if u >= limit*p.weights[i] {
			continue // -ln(1-u) is u or more: nearly all can do without the logarithm
		}
		if score := -math.Log1p(-u) / p.weights[i]; score < limit {
			return i, score
		}
	}
	return -1, 0
}

// mix spreads every bit of x over all bits (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}
