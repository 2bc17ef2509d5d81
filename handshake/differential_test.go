package handshake

import (
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

var (
	differentialSeed  = flag.Int("differential.seed", 1, "seed of TestDifferential's payloads")
	differentialCount = flag.Int("differential.count", 3000, "number of random payloads in TestDifferential; each is mutated 20 times")
)

// TestDifferential compares with CPython's own loaders: the random payloads they can write have to be read, and
// where they can load a mutated one, the id has to be theirs. The print has to be that of the strings that went into a payload. (For a pickle, where they can load it without importing anything.)
func TestDifferential(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3 to compare with: ", err)
	}
	oracle := filepath.Join("testdata", "oracle.py")

	valid := make(map[wire.Serializer][][]byte)
	cmd := exec.Command(python, oracle, "generate", strconv.Itoa(*differentialSeed), strconv.Itoa(*differentialCount))
	lines, err := output(cmd)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		fields := strings.Split(line, " ")
		f, payload, want := formatNamed(t, fields[0]), decode(t, fields[1]), string(decode(t, fields[2]))
		if got, err := Object(f, false, payload, Limits{}); err != nil || got != want {
			t.Errorf("%s %q: got %q, %v, want %q", f, payload, got, err, want)
		}
		var held sum
		for _, s := range strings.Split(fields[3], ",") {
			held.add(stringSum(decode(t, s)))
		}
		if got, err := Fingerprint(f, false, payload, Limits{}); err != nil || got != held.print() {
			t.Errorf("%s %q: got the print %x, %v, want %x, of the strings that went in", f, payload, got, err, held.print())
		}
		valid[f] = append(valid[f], payload)
	}

	type question struct {
		format  wire.Serializer
		payload []byte
		id      string
	}
	var asked []question
	rng := rand.New(rand.NewPCG(uint64(*differentialSeed), 0))
	for _, f := range []wire.Serializer{wire.Serpent, wire.JSON, wire.Marshal, wire.Pickle, wire.Msgpack} {
		for _, s := range corpus(t, f) {
			if !s.Compressed && len(s.Payload) < 1000 {
				valid[f] = append(valid[f], s.Payload)
			}
		}
		for _, payload := range valid[f] {
			for range 20 {
				mutated := mutate(rng, payload, valid[f])
				// Where no id was found there is nothing to compare; nor would it be kind to give CPython's marshal, which
				// takes lengths at their word, all the nonsense refused here.
				if id, err := Object(f, false, mutated, Limits{}); err == nil {
					asked = append(asked, question{f, mutated, id})
				}
			}
		}
	}
	var answers []string
	for crashes := 0; len(answers) < len(asked); {
		var script bytes.Buffer
		for _, q := range asked[len(answers):] {
			fmt.Fprintln(&script, q.format, base64.StdEncoding.EncodeToString(q.payload))
		}
		cmd := exec.Command(python, oracle, "load")
		cmd.Stdin = &script
		lines, err := output(cmd)
		answers = append(answers, lines...)
		if err != nil {
			// CPython's marshal dies of a tuple that is used as a key before it is complete. That is no answer.
			if crashes++; crashes > 20 || len(answers) == len(asked) {
				t.Fatal(err)
			}
			answers = append(answers, "-")
		}
	}
	compared := make(map[wire.Serializer]int)
	for i, q := range asked {
		switch a := answers[i]; {
		case a == "-":
		case a != "="+base64.StdEncoding.EncodeToString([]byte(q.id)):
			t.Errorf("%s %q: got %q, CPython has %s", q.format, q.payload, q.id, a)
		default:
			compared[q.format]++
		}
	}
	for _, f := range []wire.Serializer{wire.Serpent, wire.JSON, wire.Marshal, wire.Pickle, wire.Msgpack} {
		t.Logf("%s: %d mutated payloads read alike", f, compared[f])
		if compared[f] < *differentialCount/10 {
			t.Errorf("%s: only %d mutated payloads were compared", f, compared[f])
		}
	}
}

// mutate returns a copy of payload with a few changes of the kinds that keep much of the structure.
func mutate(rng *rand.Rand, payload []byte, others [][]byte) []byte {
	b := bytes.Clone(payload)
	for range 1 + rng.IntN(3) {
		if len(b) == 0 {
			break
		}
		i := rng.IntN(len(b))
		n := min(1+rng.IntN(12), len(b)-i)
		switch rng.IntN(8) {
		case 0:
			b[i] ^= 1 << rng.IntN(8)
		case 1:
			b[i] = byte(rng.IntN(256))
		case 2: // a byte that means something in this format
			other := others[rng.IntN(len(others))]
			b[i] = other[rng.IntN(len(other))]
		case 3:
			b = append(b[:i], b[i+n:]...)
		case 4: // a span twice
			b = append(b[:i+n:i+n], b[i:]...)
		case 5: // a span elsewhere
			span := bytes.Clone(b[i : i+n])
			j := rng.IntN(len(b))
			b = append(b[:j:j], append(span, b[j:]...)...)
		case 6: // a span of another payload
			other := others[rng.IntN(len(others))]
			j := rng.IntN(len(other))
			span := other[j:min(j+1+rng.IntN(40), len(other))]
			b = append(b[:i:i], append(bytes.Clone(span), b[i+n*rng.IntN(2):]...)...)
		case 7: // another key, or value, that is the one looked for
			if j := bytes.Index(b, []byte("handshake")); j >= 0 && rng.IntN(2) == 0 {
				b = append(b[:j:j], append([]byte("object"), b[j+9:]...)...)
			} else {
				copy(b[i:], "object")
			}
		}
	}
	return b
}

func formatNamed(t *testing.T, name string) wire.Serializer {
	for _, f := range formats {
		if f.String() == name {
			return f
		}
	}
	t.Fatalf("no format %q", name)
	return wire.UnknownSerializer
}

func decode(t *testing.T, s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// output runs cmd and returns the lines it wrote, also if it failed then.
func output(cmd *exec.Cmd) ([]string, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%v: %w\n%s", cmd, err, &stderr)
	}
	if len(out) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"), err
}
