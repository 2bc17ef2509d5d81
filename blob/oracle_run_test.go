package blob

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

var (
	record = flag.Bool("record", false, "write testdata/verdicts.jsonl with all Pythons at hand")
	rounds = flag.Int("rounds", 1500, "annotations to ask each Python about")
)

const verdictsFile = "testdata/verdicts.jsonl"

// verdict is what Pythons say to an annotation: by answer, the versions.
type verdict struct {
	Annotation string              `json:"annotation"`
	Answers    map[string][]string `json:"answers"`
}

// TestVerdicts compares with what the Pythons 2.7 and 3.6 to 3.13 said when the
// file was written, with -record and all of them in BLOB_PYTHONS.
func TestVerdicts(t *testing.T) {
	if *record {
		recordVerdicts(t)
	}
	f, err := os.Open(verdictsFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	n, taken := 0, 0
	for ; lines.Scan(); n++ {
		var v verdict
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		annotation, err := hex.DecodeString(v.Annotation)
		if err != nil {
			t.Fatal(err)
		}
		called := false
		for answer, versions := range v.Answers {
			called = called || strings.HasPrefix(answer, "call ")
			if err := judge(annotation, answer); err != nil {
				t.Errorf("%q: %v: %v", annotation, versions, err)
			}
		}
		if _, err := Parse(annotation); err == nil {
			taken++
			slice := strings.Contains(string(annotation), ":NN") // only Python 3.14 knows them
			if !called && !slice {
				t.Errorf("%q: taken, but no Python reads it: %v", annotation, v.Answers)
			}
		}
	}
	if err := lines.Err(); err != nil || n < 500 || taken < 100 {
		t.Errorf("%d verdicts, %d annotations taken, %v", n, taken, err)
	}
}

func recordVerdicts(t *testing.T) {
	all := pythons(t)
	r := rand.New(rand.NewPCG(3, 4))
	f, err := os.Create(verdictsFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	inputs := slices.Clone(seeds)
	for len(inputs) < 600 {
		inputs = append(inputs, string(randomAnnotation(r)))
	}
	for _, input := range inputs {
		v := verdict{Annotation: hex.EncodeToString([]byte(input)), Answers: map[string][]string{}}
		for _, p := range all {
			answer := p.ask([]byte(input))
			v.Answers[answer] = append(v.Answers[answer], p.version)
		}
		for _, versions := range v.Answers {
			slices.Sort(versions)
		}
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(append(line, '\n')); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPythons asks the Pythons at hand about annotations made up at random.
func TestPythons(t *testing.T) {
	for _, p := range pythons(t) {
		t.Run(p.version, func(t *testing.T) {
			seed := rand.Uint64()
			if *rounds <= 1500 {
				seed = 1 // the ordinary run is the same each time
			}
			r := rand.New(rand.NewPCG(seed, 2))
			calls := 0
			for n := range *rounds + len(seeds) {
				var annotation []byte
				if n < len(seeds) {
					annotation = []byte(seeds[n])
				} else {
					annotation = randomAnnotation(r)
				}
				answer := p.ask(annotation)
				if err := judge(annotation, answer); err != nil {
					t.Errorf("%q: %v", annotation, err)
				}
				if strings.HasPrefix(answer, "call ") {
					calls++
				}
			}
			if calls < *rounds/20 {
				t.Errorf("only %d of %d annotations were any good", calls, *rounds)
			}
		})
	}
}

// FuzzPythons asks the Pythons at hand about what the fuzzer comes up with.
func FuzzPythons(f *testing.F) {
	all := pythons(f)
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, annotation []byte) {
		for _, p := range all {
			if err := judge(annotation, p.ask(annotation)); err != nil {
				t.Errorf("%s: %v", p.version, err)
			}
		}
	})
}
