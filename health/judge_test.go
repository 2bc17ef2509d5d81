package health

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestJudge: "u", "d" and "n" are verdicts; the state after each is "U" or "D",
// in lower case where it has not changed.
func TestJudge(t *testing.T) {
	tests := []struct {
		name       string
		rise, fall int
		verdicts   string
		want       string
	}{
		{"starts up", 2, 3, "n", "u"},
		{"falls at the third", 2, 3, "dddd", "uuDd"},
		{"rises at the second", 2, 3, "ddduu", "uuDdU"},
		{"interrupted falls", 2, 3, "ddudduddd", "uuuuuuuuD"},
		{"interrupted rises", 2, 3, "dddududuu", "uuDdddddU"},
		{"neutral interrupts nothing", 2, 3, "dndnnddnunnnu", "uuuuuDddddddU"},
		{"neutral alone", 1, 1, "nnndnnnun", "uuuDdddUu"},
		{"at once", 1, 1, "dudu", "DUDU"},
		{"less than one is one", 0, -1, "dudu", "DUDU"},
		{"from the start again", 3, 1, "duuduuu", "DdddddU"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j := NewJudge(test.rise, test.fall)
			if !j.Up() {
				t.Error("starts down")
			}
			var got strings.Builder
			for _, v := range test.verdicts {
				changed := j.Observe(map[rune]Verdict{'u': Up, 'd': Down, 'n': Neutral}[v])
				state := "d"
				if j.Up() {
					state = "u"
				}
				if changed {
					state = strings.ToUpper(state)
				}
				got.WriteString(state)
			}
			if got.String() != test.want {
				t.Errorf("%s: got %s, want %s", test.verdicts, &got, test.want)
			}
		})
	}
}

// TestJudgeInvariants: over long random rows of verdicts, every change has its
// reason in the last ones, and is announced.
func TestJudgeInvariants(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		rise, fall := 1+rnd.IntN(4), 1+rnd.IntN(4)
		j := NewJudge(rise, fall)
		var last Verdict // of those that are not neutral
		row := 0
		for range 300 {
			v := Verdict(rnd.IntN(3))
			was := j.Up()
			changed := j.Observe(v)
			if changed != (j.Up() != was) {
				t.Fatalf("changed: %v, from %v to %v", changed, was, j.Up())
			}
			if v == Neutral {
				if changed {
					t.Fatal("a neutral verdict changed it")
				}
				continue
			}
			if v != last {
				last, row = v, 0
			}
			row++
			need := map[Verdict]int{Up: rise, Down: fall}[v]
			if up := v == Up; row >= need && j.Up() != up || changed && row != need {
				t.Fatalf("rise %d, fall %d: %d times %s, up: %v, changed: %v", rise, fall, row, v, j.Up(), changed)
			}
		}
	}
}
