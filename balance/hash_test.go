package balance

import (
	"fmt"
	"slices"
	"testing"
)

func address(i int) string { return fmt.Sprintf("192.0.2.%d:%d", i%250, 9000+i/250) }

func addresses(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = address(i)
	}
	return names
}

const manyKeys = 10_000

// owners are the names that keys lead to.
func owners(names []string, weights []int, usable func(int) bool) []string {
	p := NewHash(names, weights)
	got := make([]string, manyKeys)
	for k := range got {
		got[k] = names[p.Pick(key(k), usable)]
	}
	return got
}

// moved counts by index of names where the keys went whose owner changed, and
// fails where one changed that had no reason to.
func moved(t *testing.T, names []string, before, after []string, reason func(from, to string) bool) []int {
	t.Helper()
	to := make([]int, len(names))
	for k := range before {
		if before[k] == after[k] {
			continue
		}
		if !reason(before[k], after[k]) {
			t.Fatalf("key %d moved from %s to %s", k, before[k], after[k])
		}
		to[slices.Index(names, after[k])]++
	}
	return to
}

// TestHashShares: keys are shared out by weight.
func TestHashShares(t *testing.T) {
	tests := []struct {
		name    string
		weights []int
		usable  func(int) bool
	}{
		{"one", ones(1), all},
		{"three", ones(3), all},
		{"weighted", []int{5, 1, 3, 2}, all},
		{"far apart", []int{1000, 1, 10}, all},
		{"one down", []int{5, 1, 3, 2}, except(only(0))},
		{"a hundred", mixed(100), all},
		{"a hundred, a stretch of them down", mixed(100), func(i int) bool { return i < 10 || i >= 90 }},
		{"a hundred, few left", mixed(100), only(3, 4, 5, 70, 99)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := NewHash(addresses(len(test.weights)), test.weights)
			counts := count(p, len(test.weights), manyKeys, test.usable)
			wantShares(t, counts, shares(test.weights, nil, test.usable))
		})
	}
}

// TestHashMovement: only the keys of an endpoint that goes move, to all others
// by weight, and only to one that comes do keys move.
func TestHashMovement(t *testing.T) {
	for _, n := range []int{3, 10, 40} {
		t.Run(fmt.Sprintf("%d endpoints", n), func(t *testing.T) {
			names, weights := addresses(n), mixed(n)
			before := owners(names, weights, all)
			for gone := range min(n, 5) {
				fromGone := func(from, _ string) bool { return from == names[gone] }
				down := owners(names, weights, except(only(gone)))
				counts := moved(t, names, before, down, fromGone)
				wantShares(t, counts, shares(weights, nil, except(only(gone))))

				rest := slices.Delete(slices.Clone(names), gone, gone+1)
				restWeights := slices.Delete(slices.Clone(weights), gone, gone+1)
				removed := owners(rest, restWeights, all)
				if !slices.Equal(removed, down) {
					t.Errorf("keys move when %s is removed after it could not be used", names[gone])
				}
				// And back again: what comes takes keys, and nobody else.
				moved(t, names, removed, before, func(_, to string) bool { return to == names[gone] })
			}
		})
	}
}

// TestHashSeveralDown: with more endpoints down than are remembered, keys still
// go where they would if those were not there.
func TestHashSeveralDown(t *testing.T) {
	names, weights := addresses(40), mixed(40)
	for _, n := range []int{choices - 1, choices, 20, 37} {
		usable := func(i int) bool { return (i*17+3)%40 >= n }
		var rest []string
		var restWeights []int
		for i, name := range names {
			if usable(i) {
				rest, restWeights = append(rest, name), append(restWeights, weights[i])
			}
		}
		if !slices.Equal(owners(names, weights, usable), owners(rest, restWeights, all)) {
			t.Errorf("%d down are not as if they were removed", n)
		}
	}
}

// TestHashReweighted: more weight only takes keys from others.
func TestHashReweighted(t *testing.T) {
	names := addresses(20)
	before := owners(names, ones(20), all)
	heavier := ones(20)
	heavier[3] = 4
	counts := moved(t, names, before, owners(names, heavier, all), func(_, to string) bool { return to == names[3] })
	if counts[3] == 0 {
		t.Error("nothing moved")
	}
}

// TestHashAgrees: dispatchers agree, in whatever order and with whatever keys
// before they learnt of the endpoints; and tomorrow's with today's.
func TestHashAgrees(t *testing.T) {
	names, weights := addresses(30), mixed(30)
	want := owners(names, weights, all)
	slices.Reverse(names)
	slices.Reverse(weights)
	if !slices.Equal(owners(names, weights, all), want) {
		t.Error("the order of endpoints matters")
	}
	p := NewHash(names, weights)
	for k := manyKeys - 1; k >= 0; k-- {
		p.Pick(key(k), only(k%30))
		if got := names[p.Pick(key(k), all)]; got != want[k] {
			t.Fatalf("key %d: %s, at first %s", k, got, want[k])
		}
	}
	golden := []string{"192.0.2.0:9000", "192.0.2.1:9000", "192.0.2.2:9000"}
	var got []string
	for _, object := range []string{"lab.camera1", "lab.camera2", "lab.stage", "lab.laser", "Pyro.NameServer"} {
		got = append(got, golden[NewHash(golden, ones(3)).Pick(KeyString(object), all)])
	}
	if want := []string{golden[2], golden[1], golden[2], golden[1], golden[0]}; !slices.Equal(got, want) {
		t.Errorf("objects lead to %q", got)
	}
}

// TestHashMemo: what is remembered is what was found.
func TestHashMemo(t *testing.T) {
	names, weights := addresses(50), mixed(50)
	with := NewHash(names, weights)
	without := NewHash(names, weights).(*hash)
	without.memo = nil
	usable := func(i int) bool { return i%3 > 0 }
	for round := range 2 {
		for k := range manyKeys {
			for _, u := range []func(int) bool{all, usable} {
				if a, b := with.Pick(key(k), u), without.Pick(key(k), u); a != b {
					t.Fatalf("round %d, key %d: %d with the memo, %d without", round, k, a, b)
				}
			}
		}
	}
	if got, want := NewHash(names, weights).Pick(0, all), without.Pick(0, all); got != want {
		t.Errorf("key 0 is taken for one that is remembered: %d, not %d", got, want)
	}
}
