package balance

import (
	"math"
	"testing"
)

// TestLeastRequestUnloaded: without load, shares are those of the weights.
func TestLeastRequestUnloaded(t *testing.T) {
	third := func(i int) float64 { return []float64{1, 0.1, 0.5}[i%3] }
	tests := []struct {
		name    string
		weights []int
		ramp    func(int) float64
		usable  func(int) bool
	}{
		{"one", ones(1), nil, all},
		{"two", ones(2), nil, all},
		{"two, weighted", []int{2, 1}, nil, all},
		{"three, weighted", []int{5, 1, 1}, nil, all},
		{"far apart", []int{100, 1, 10}, nil, all},
		{"one down", []int{5, 1, 3, 2}, nil, except(only(1))},
		{"one left", []int{5, 1, 3, 2}, nil, only(1)},
		{"two left", []int{5, 1, 3, 2}, nil, only(1, 2)},
		{"a strong one down", []int{1000, 2, 1}, nil, except(only(0))},
		{"slow start", []int{5, 1, 3, 2}, third, all},
		{"slow start, one down", []int{5, 1, 3, 2}, third, except(only(2))},
		{"all in slow start", []int{5, 1, 3, 2}, func(int) float64 { return 0.1 }, all},
		{"many", ones(1000), nil, all},
		{"many, weighted", mixed(1000), nil, all},
		{"many, slow start", mixed(1000), third, all},
		{"many, a stretch of them down", mixed(1000), nil, func(i int) bool { return i < 100 || i >= 600 }},
		{"many, few left", mixed(1000), nil, only(3, 4, 5, 700, 999)},
		{"many, few left, slow start", mixed(1000), third, only(3, 4, 5, 700, 999)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := NewLeastRequest(test.weights, no, test.ramp, random())
			counts := count(p, len(test.weights), 30_000, test.usable)
			wantShares(t, counts, shares(test.weights, test.ramp, test.usable))
		})
	}
}

// TestLeastRequestLoaded compares with the exact probabilities, from all pairs
// that can be drawn.
func TestLeastRequestLoaded(t *testing.T) {
	loads := func(l ...int) func(int) int { return func(i int) int { return l[i%len(l)] } }
	tests := []struct {
		name    string
		weights []int
		load    func(int) int
		usable  func(int) bool
	}{
		{"equal load", ones(4), loads(7), all},
		{"in order of load", ones(5), loads(0, 1, 2, 3, 4), all},
		{"some equal", ones(5), loads(3, 1, 1, 0, 3), all},
		{"weighted", []int{5, 1, 3, 2}, loads(4, 1, 3, 0), all},
		{"equal for their weights", []int{4, 1, 3, 2}, loads(8, 2, 6, 4), all},
		{"a strong one with little load", []int{10, 1, 1}, loads(1, 0, 0), all},
		{"one down", []int{5, 1, 3, 2}, loads(4, 1, 3, 0), except(only(3))},
		{"many", mixed(300), loads(1, 3, 0, 9, 2, 5), all},
		{"many, few left", mixed(300), loads(1, 3, 0, 9, 2, 5), only(7, 8, 100, 101, 299)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := NewLeastRequest(test.weights, test.load, nil, random())
			counts := count(p, len(test.weights), 60_000, test.usable)
			drawn := shares(test.weights, nil, test.usable)
			want := make([]float64, len(drawn))
			for i, pi := range drawn {
				for j, pj := range drawn {
					if i != j && pj > 0 {
						want[taken(test.weights, test.load, i, j)] += pi * pj / (1 - pi)
					}
				}
			}
			wantShares(t, counts, want)
		})
	}
}

// taken is the one of two that should be taken, the first being drawn first.
func taken(weights []int, load func(int) int, first, second int) int {
	per := func(i, more int) float64 { return float64(load(i)+more) / float64(weights[i]) }
	if per(second, 0) < per(first, 0) && per(second, 1) < per(first, 1) {
		return second
	}
	return first
}

// TestLeastRequestFills: load that stays is shared out by weight. Of two
// endpoints both are always drawn, so that their loads for their weights are
// never further apart than one call makes.
func TestLeastRequestFills(t *testing.T) {
	for _, weights := range [][]int{{1, 1}, {3, 1}, {1, 10}, {7, 5}} {
		load := make([]int, 2)
		p := NewLeastRequest(weights, func(i int) int { return load[i] }, nil, random())
		for n := range 5000 {
			load[p.Pick(0, all)]++
			apart := math.Abs(float64(load[0])/float64(weights[0]) - float64(load[1])/float64(weights[1]))
			if bound := 1 / float64(min(weights[0], weights[1])); apart > bound+slack {
				t.Fatalf("weights %v: loads %v after %d calls", weights, load, n+1)
			}
		}
	}
}

// TestLeastRequestLooksAtTwo: the cost does not grow with the number of
// endpoints, and stays bounded where few can be used.
func TestLeastRequestLooksAtTwo(t *testing.T) {
	for _, test := range []struct {
		name   string
		usable func(int) bool
		most   float64 // looks for each pick
	}{
		{"all", all, 2},
		{"half", func(i int) bool { return i%2 == 0 }, 4.1},
		{"one", only(500), maxDraws + 1000},
	} {
		looked := 0
		p := NewLeastRequest(ones(1000), no, nil, random())
		count(p, 1000, 1000, func(i int) bool { looked++; return test.usable(i) })
		if each := float64(looked) / 1000; each > test.most {
			t.Errorf("%s usable: %.1f looked at for each pick", test.name, each)
		}
	}
}

// TestOddRamps: a ramp out of its bounds neither keeps an endpoint out nor
// gives it more than its weight.
func TestOddRamps(t *testing.T) {
	for _, test := range []struct{ ramp, counts float64 }{
		{0, minRamp}, {-1, minRamp}, {math.NaN(), minRamp}, {math.Inf(1), 1}, {2, 1}, {1, 1}, {0.5, 0.5},
	} {
		if got := factor(func(int) float64 { return test.ramp }, 0); got != test.counts {
			t.Errorf("%v counts as %v", test.ramp, got)
		}
	}
}
