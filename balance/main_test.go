package balance

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func all(int) bool  { return true }
func none(int) bool { return false }

func no(int) int { return 0 } // load

// only makes a usable of the indexes.
func only(indexes ...int) func(int) bool {
	set := make(map[int]bool)
	for _, i := range indexes {
		set[i] = true
	}
	return func(i int) bool { return set[i] }
}

func except(usable func(int) bool) func(int) bool {
	return func(i int) bool { return !usable(i) }
}

func random() *rand.Rand { return rand.New(rand.NewPCG(3, 4)) }

// ones is n equal weights.
func ones(n int) []int {
	w := make([]int, n)
	for i := range w {
		w[i] = 1
	}
	return w
}

// mixed is n weights from 1 to 9.
func mixed(n int) []int {
	w := make([]int, n)
	for i := range w {
		w[i] = 1 + i*7%9
	}
	return w
}

// shares is what each endpoint should get of all picks: its weight times ramp,
// 0 where it is not usable.
func shares(weights []int, ramp func(int) float64, usable func(int) bool) []float64 {
	got := make([]float64, len(weights))
	sum := 0.0
	for i, w := range weights {
		if usable(i) {
			got[i] = float64(w)
			if ramp != nil {
				got[i] *= ramp(i)
			}
		}
		sum += got[i]
	}
	for i := range got {
		got[i] /= sum
	}
	return got
}

// count picks n times with the keys 0 to n-1, hashed.
func count(p Picker, size, n int, usable func(int) bool) []int {
	counts := make([]int, size)
	for k := range n {
		counts[p.Pick(key(k), usable)]++
	}
	return counts
}

func key(k int) uint64 { return Key([]byte{byte(k), byte(k >> 8), byte(k >> 16), byte(k >> 24)}) }

// wantShares checks independent random picks against their probabilities: by
// Pearson's chi-square, which exceeds the bound of Laurent and Massart (2000,
// lemma 1) with a probability below e^-20.
func wantShares(t *testing.T, counts []int, shares []float64) {
	t.Helper()
	n := 0
	for _, c := range counts {
		n += c
	}
	chi, freedom := 0.0, -1.0
	for i, c := range counts {
		expected := float64(n) * shares[i]
		if expected == 0 {
			if c > 0 {
				t.Errorf("%d picks of %d, which should have none", c, i)
			}
			continue
		}
		freedom++
		chi += (float64(c) - expected) * (float64(c) - expected) / expected
	}
	const x = 20
	if bound := freedom + 2*math.Sqrt(freedom*x) + 2*x; chi > bound {
		if len(counts) > 10 {
			counts, shares = counts[:10], shares[:10]
		}
		t.Errorf("chi-square %.0f, bound %.0f: %d picks are shared out as %v, want %.4f", chi, bound, n, counts, shares)
	}
}

// TestWantShares: a test of the test, which must not let a doubled share pass.
func TestWantShares(t *testing.T) {
	for _, test := range []struct {
		name   string
		counts []int
		shares []float64
		fails  bool
	}{
		{"exact", []int{500, 300, 200}, []float64{0.5, 0.3, 0.2}, false},
		{"within chance", []int{530, 290, 180}, []float64{0.5, 0.3, 0.2}, false},
		{"doubled", []int{400, 200, 400}, []float64{0.5, 0.3, 0.2}, true},
		{"one that should have none", []int{500, 499, 1}, []float64{0.5, 0.5, 0}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var probe testing.T
			wantShares(&probe, test.counts, test.shares)
			if probe.Failed() != test.fails {
				t.Errorf("failed: %v, want %v", probe.Failed(), test.fails)
			}
		})
	}
}

// letters is n picks, "a" being index 0.
func letters(p Picker, n int, usable func(int) bool) string {
	var b strings.Builder
	for range n {
		b.WriteByte(byte('a' + p.Pick(0, usable)))
	}
	return b.String()
}

// pickers is one of each kind.
func pickers(weights []int) map[string]Picker {
	names := make([]string, len(weights))
	for i := range names {
		names[i] = address(i)
	}
	return map[string]Picker{
		"least_request": NewLeastRequest(weights, no, nil, random()),
		"round_robin":   NewRoundRobin(weights, nil),
		"hash":          NewHash(names, weights),
	}
}

// TestOnlyUsable has every picker choose among changing endpoints: always one
// that can be used, and -1 only where there is none.
func TestOnlyUsable(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 20, 100} {
		for name, p := range pickers(mixed(n)) {
			rnd := random()
			can := make([]bool, n)
			usable := func(i int) bool { return can[i] }
			for k := range 2000 {
				some := false
				chance := []float64{0, 0.02, 0.5, 0.98, 1}[k/40%5]
				for i := range can {
					can[i] = rnd.Float64() < chance
					some = some || can[i]
				}
				switch i := p.Pick(key(k), usable); {
				case i < 0 && some:
					t.Fatalf("%s of %d: nothing picked", name, n)
				case i >= n || i >= 0 && !can[i]:
					t.Fatalf("%s of %d: picked %d, which cannot be used", name, n, i)
				}
			}
		}
	}
}

// TestOddWeights: what no configuration should say must not do harm.
func TestOddWeights(t *testing.T) {
	for name, p := range pickers([]int{0, -5, 1}) {
		if name == "round_robin" {
			if got := letters(p, 6, all); got != "abcabc" {
				t.Errorf("round_robin: %s", got)
			}
			continue
		}
		wantShares(t, count(p, 3, 30000, all), []float64{1. / 3, 1. / 3, 1. / 3})
	}
	for name, p := range pickers([]int{math.MaxInt, math.MaxInt, 1}) {
		counts := count(p, 3, 10000, all)
		if counts[0] < 4500 || counts[1] < 4500 || counts[2] > 1 {
			t.Errorf("%s: %v", name, counts)
		}
	}
}

// TestNothingAllocated in any picker, on any of its ways.
func TestNothingAllocated(t *testing.T) {
	for _, n := range []int{3, 1000} {
		for name, p := range pickers(mixed(n)) {
			for what, usable := range map[string]func(int) bool{
				"all": all, "none": none, "one": func(i int) bool { return i == 1 }, "two thirds": func(i int) bool { return i%3 > 0 },
			} {
				k := 0
				if got := testing.AllocsPerRun(200, func() { p.Pick(key(k), usable); k++ }); got > 0 {
					t.Errorf("%s of %d, usable: %s: %v allocations", name, n, what, got)
				}
			}
		}
	}
}

func TestKey(t *testing.T) {
	// XXH64's test vectors: keys must be the same in all processes, always.
	for in, want := range map[string]uint64{"": 0xef46db3751d8e999, "a": 0xd24ec4f1a98c6e5b} {
		if got := Key([]byte(in)); got != want {
			t.Errorf("Key(%q) is %#x", in, got)
		}
		if got := KeyString(in); got != want {
			t.Errorf("KeyString(%q) is %#x", in, got)
		}
	}
}
