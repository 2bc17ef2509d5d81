package balance

import (
	"math"
	"testing"
)

// TestRoundRobinTurns checks exact sequences.
func TestRoundRobinTurns(t *testing.T) {
	tests := []struct {
		name    string
		weights []int
		usable  func(int) bool
		want    string
	}{
		{"one", []int{7}, all, "aaaa"},
		{"equal", []int{1, 1, 1}, all, "abcabcabc"},
		{"equal, not 1", []int{3, 3, 3, 3}, all, "abcdabcdabcd"},
		{"one down", []int{1, 1, 1}, except(only(1)), "acacacac"},
		{"the first down", []int{1, 1, 1, 1}, except(only(0)), "bcdbcdbcdbcd"},
		{"neighbours down", []int{1, 1, 1, 1}, only(0, 3), "adadadad"},
		{"twice", []int{2, 1}, all, "abaabaabaaba"},
		{"nginx's example", []int{5, 1, 1}, all, "abaacaaabaacaa"},
		{"nginx's example, one down", []int{5, 1, 1}, except(only(2)), "abaaaaabaaaa"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := NewRoundRobin(test.weights, nil)
			if got := letters(p, len(test.want), test.usable); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestRoundRobinInTurn: many equal endpoints take strict turns, for more rounds
// than times are moved back after.
func TestRoundRobinInTurn(t *testing.T) {
	for _, n := range []int{1, 2, 7, 100} {
		p := NewRoundRobin(ones(n), nil)
		for k := range n * 3 * rebase {
			if got := p.Pick(0, all); got != k%n {
				t.Fatalf("%d endpoints: pick %d is %d", n, k, got)
			}
		}
		if now := p.(*roundRobin).now; now > rebase+1 {
			t.Errorf("%d endpoints: virtual time has come to %v", n, now)
		}
	}
}

// follow picks n times and returns by how many calls an endpoint has ever been
// away from its exact share.
func follow(p Picker, n int, usable func(int) bool, shares []float64) (worst float64) {
	counts := make([]float64, len(shares))
	for k := 1; k <= n; k++ {
		counts[p.Pick(0, usable)]++
		for i, c := range counts {
			worst = max(worst, math.Abs(shares[i]*float64(k)-c))
		}
	}
	return worst
}

// TestRoundRobinSmooth: no endpoint is ever a whole call away from its share,
// whatever the weights.
func TestRoundRobinSmooth(t *testing.T) {
	rnd := random()
	weights := [][]int{{1, 1, 1}, {5, 1, 1}, {100, 1}, {1, 2, 4, 8}, {1000, 999, 1}, append(ones(10), 10), append(mixed(50), 200)}
	for range 30 {
		w := make([]int, 1+rnd.IntN(40))
		for i := range w {
			w[i] = 1 + rnd.IntN(1+rnd.IntN(300))
		}
		weights = append(weights, w)
	}
	for _, w := range weights {
		if worst := follow(NewRoundRobin(w, nil), 20_000, all, shares(w, nil, all)); worst >= 1 {
			t.Errorf("weights %v: %.3f calls away from the share", w, worst)
		}
	}
}

// TestRoundRobinDown: what would go to endpoints that are down is spread over
// all others by weight, from the start or after they were up. Until all of
// those that are down have been found so, the others may be a call off.
func TestRoundRobinDown(t *testing.T) {
	for _, w := range [][]int{ones(9), {5, 1, 1, 1}, mixed(30), append(ones(10), 10)} {
		for _, usable := range []func(int) bool{
			except(only(0)), except(only(1, 2)), func(i int) bool { return i%3 == 1 }, only(len(w)-1, len(w)-2),
		} {
			p := NewRoundRobin(w, nil)
			want := shares(w, nil, usable)
			if worst := follow(p, 20_000, usable, want); worst >= 2 {
				t.Errorf("weights %v: %.3f calls away from the share", w, worst)
			}
			follow(p, 1000, all, want)
			if worst := follow(p, 20_000, usable, want); worst >= 2 {
				t.Errorf("weights %v, after all were up: %.3f calls away from the share", w, worst)
			}
		}
	}
}

// TestRoundRobinComesBack: endpoints that were away for long, half of all, get
// their share from the first turn on and do not catch up: neither they nor the
// others are ever more than a call away from their share.
func TestRoundRobinComesBack(t *testing.T) {
	const n = 1000
	p := NewRoundRobin(ones(n), nil)
	away := func(i int) bool { return i >= n/2 }
	count(p, n, 100*n+137, except(away))
	for k := 0; len(p.(*roundRobin).parked) > 0; k++ {
		// Each pick looks at some of those that were away.
		if k > n/2/looks {
			t.Fatalf("%d are still away after %d picks", len(p.(*roundRobin).parked), k)
		}
		p.Pick(0, all)
	}
	total := make([]int, n)
	for turn := 1; turn <= 10; turn++ {
		for i, c := range count(p, n, n, all) {
			total[i] += c
			if off := total[i] - turn; c > 2 || off < -1 || off > 1 {
				t.Fatalf("turn %d: endpoint %d was picked %d times, %d in all", turn, i, c, total[i])
			}
		}
	}
}

// TestRoundRobinMissedNoTurn: one that could not be used for a moment keeps its
// place.
func TestRoundRobinMissedNoTurn(t *testing.T) {
	p := NewRoundRobin(ones(4), nil)
	got := letters(p, 5, all) + letters(p, 1, except(only(1))) + letters(p, 6, all)
	if want := "abcda" + "c" + "bdabcd"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestRoundRobinRamp: slow start lowers a share, and when it is over nothing is
// caught up with.
func TestRoundRobinRamp(t *testing.T) {
	ramp := 0.1
	weights := []int{4, 2, 4}
	ramps := func(i int) float64 {
		if i == 2 {
			return ramp
		}
		return 1
	}
	p := NewRoundRobin(weights, ramps)
	if worst := follow(p, 10_000, all, shares(weights, ramps, all)); worst >= 1 {
		t.Errorf("with a ramp of %v: %.3f calls away from the share", ramp, worst)
	}
	for ramp = 0.2; ramp < 1; ramp += 0.1 { // 100 calls for each step
		share := shares(weights, ramps, all)[2] * 100
		if c := count(p, 3, 100, all)[2]; math.Abs(float64(c)-share) >= 2 {
			t.Errorf("at %.1f: %d of 100 calls, its share is %.1f", ramp, c, share)
		}
	}
	ramp = 1
	if worst := follow(p, 10_000, all, shares(weights, nil, all)); worst >= 2 {
		t.Errorf("after slow start: %.3f calls away from the share", worst)
	}
}

// TestRoundRobinKindsOfCallers: clients of two kinds, each of which can use one
// half of the endpoints, share a picker. Nobody's turn falls to others.
func TestRoundRobinKindsOfCallers(t *testing.T) {
	kinds := map[byte]func(int) bool{'x': only(0, 1), 'y': only(2, 3)}
	for _, test := range []struct{ callers, want string }{
		{"xyxyxyxyxyxy", "acbdacbdacbd"},
		{"xxyyxxyyxxyy", "abcdabcdabcd"},
		{"xyyxyyxyyxyy", "acdbcdacdbcd"},
	} {
		p := NewRoundRobin(ones(4), nil)
		got := ""
		for _, c := range []byte(test.callers) {
			got += letters(p, 1, kinds[c])
		}
		if got != test.want {
			t.Errorf("callers %s: got %s, want %s", test.callers, got, test.want)
		}
	}
	// With one kind far rarer, nobody goes without.
	const n = 40
	p := NewRoundRobin(ones(n), nil)
	rare := make([]int, n)
	for range 40 * n {
		count(p, n, 50, func(i int) bool { return i%2 > 0 })
		rare[p.Pick(0, func(i int) bool { return i%2 == 0 })]++
	}
	for i, c := range rare { // 80 each on average
		if i%2 == 0 && c < 20 {
			t.Errorf("endpoint %d was picked %d times by the rare kind of callers: %v", i, c, rare)
		}
	}
}

// TestRoundRobinLooksAtFew: the cost is one look where all are up, and does not
// grow with the number of those that are down.
func TestRoundRobinLooksAtFew(t *testing.T) {
	for _, test := range []struct {
		name   string
		usable func(int) bool
		most   float64 // looks for each pick
	}{
		{"all", all, 1},
		{"all but one", except(only(500)), 2.1},
		{"half", func(i int) bool { return i%2 == 0 }, 1 + looks},
		{"one", only(500), 1 + looks},
	} {
		p := NewRoundRobin(ones(1000), nil)
		count(p, 1000, 1000, test.usable) // which finds those that are down
		looked := 0
		count(p, 1000, 1000, func(i int) bool { looked++; return test.usable(i) })
		if each := float64(looked) / 1000; each > test.most {
			t.Errorf("%s usable: %.3f looked at for each pick", test.name, each)
		}
	}
}
