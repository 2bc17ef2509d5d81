package names

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// The recordings are what the real classes answered (testdata/record.py).

func lines(t *testing.T, file string, each func(n int, line []byte)) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var plain io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if plain, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	s := bufio.NewScanner(plain)
	s.Buffer(nil, 1<<20)
	n := 0
	for s.Scan() {
		n++
		each(n, s.Bytes())
	}
	if s.Err() != nil || n < 1000 {
		t.Fatalf("%s: %d lines, %v", file, n, s.Err())
	}
}

// unrecord reads a value as record.py writes it.
func unrecord(t *testing.T, raw json.RawMessage) values.Value {
	t.Helper()
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] != '{' {
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err, string(raw))
		}
		return v
	}
	var tagged map[string]json.RawMessage
	if err := json.Unmarshal(raw, &tagged); err != nil {
		t.Fatal(err)
	}
	for tag, raw := range tagged {
		var parts []json.RawMessage
		_ = json.Unmarshal(raw, &parts)
		var list []values.Value
		if tag != "dict" && tag != "complex" && tag != "bytes" {
			for _, p := range parts {
				list = append(list, unrecord(t, p))
			}
		}
		switch tag {
		case "int":
			i, _ := new(big.Int).SetString(strings.Trim(string(raw), `"`), 10)
			if i.IsInt64() {
				return i.Int64()
			}
			return i
		case "float":
			var f float64
			_ = json.Unmarshal(raw, &f)
			return f
		case "complex":
			var f [2]float64
			_ = json.Unmarshal(raw, &f)
			return complex(f[0], f[1])
		case "bytes":
			b := []byte{}
			for _, p := range parts {
				var n byte
				_ = json.Unmarshal(p, &n)
				b = append(b, n)
			}
			return b
		case "uri":
			var text string
			_ = json.Unmarshal(raw, &text)
			u, err := values.ParseURI(text)
			if err != nil {
				t.Fatal(err)
			}
			return u
		case "tuple":
			return values.Tuple(list)
		case "list":
			return values.List(list)
		case "set":
			return values.Set(list)
		case "dict":
			d := values.Dict{}
			for _, p := range parts {
				var kv [2]json.RawMessage
				_ = json.Unmarshal(p, &kv)
				d = append(d, values.Pair{Key: unrecord(t, kv[0]), Value: unrecord(t, kv[1])})
			}
			return d
		}
	}
	t.Fatalf("unknown value %s", raw)
	return nil
}

// canonical writes a value so that equal ones are equal texts. Metadata are in no order.
func canonical(v values.Value) string {
	all := func(open string, list []values.Value, sorted bool) string {
		var parts []string
		for _, item := range list {
			parts = append(parts, canonical(item))
		}
		if sorted {
			slices.Sort(parts)
		}
		return open + strings.Join(parts, ", ") + ")"
	}
	switch v := v.(type) {
	case values.Tuple:
		return all("tuple(", v, false)
	case values.List:
		return all("list(", v, true)
	case values.Set:
		return all("set(", v, true)
	case values.Dict:
		var pairs []values.Value
		for _, p := range v {
			pairs = append(pairs, values.Tuple{p.Key, p.Value})
		}
		return all("dict(", pairs, true)
	case values.URI:
		return "URI(" + v.String() + ")"
	}
	return fmt.Sprintf("%T(%v)", v, v)
}

// asker is a caller whose name server is at own:9090, as in the recordings.
func asker(d wire.Dialect) control.Caller { return control.Caller{Listener: "names", Dialect: d} }

func recordedServer() *Server {
	return NewServer(NewDirectory(DirectoryConfig{Store: store.NewMemory()}), Config{
		Advertise: func(control.Caller) Advertise { return Advertise{Host: "own", Port: 9090} },
	})
}

type recordedStep struct {
	New     bool
	Dialect wire.Dialect
	Method  string
	Args    []json.RawMessage
	Kwargs  [][2]json.RawMessage
	Result  json.RawMessage
	Error   []string
}

func (step recordedStep) call(t *testing.T, s control.Object) (values.Value, error) {
	var args []values.Value
	for _, a := range step.Args {
		args = append(args, unrecord(t, a))
	}
	var kwargs values.Dict
	for _, p := range step.Kwargs {
		kwargs = append(kwargs, values.Pair{Key: unrecord(t, p[0]), Value: unrecord(t, p[1])})
	}
	return s.Call(context.Background(), asker(step.Dialect), step.Method, args, kwargs)
}

func TestAnswersAreTheLibraries(t *testing.T) {
	var s *Server
	lines(t, "testdata/calls.jsonl.gz", func(n int, line []byte) {
		var step recordedStep
		if err := json.Unmarshal(line, &step); err != nil {
			t.Fatal(err)
		}
		if step.New {
			s = recordedServer()
			return
		}
		got, err := step.call(t, s)
		if step.Error != nil {
			want := step.Error[0] + ": " + step.Error[1]
			if described(err) != want {
				t.Errorf("line %d: %s\n got %v, %s\nwant %s", n, line, got, described(err), want)
			}
			return
		}
		if want := unrecord(t, step.Result); err != nil || canonical(got) != canonical(want) {
			t.Errorf("line %d: %s\n got %s, %v\nwant %s", n, line, canonical(got), err, canonical(want))
		}
	})
}

// described is class and text of an exception.
func described(err error) string {
	var e *values.Exception
	if !errors.As(err, &e) {
		return fmt.Sprintf("not an exception: %v", err)
	}
	return fmt.Sprintf("%s: %v", e.Class, e.Args[0])
}

// knownDifference is what compilePython documents: \b, and something behind a "$".
var knownDifference = regexp.MustCompile(`\\[bB]|\$[^|)]`)

func TestRegexesArePythons(t *testing.T) {
	var names []string
	unsupported := 0
	lines(t, "testdata/regex.jsonl", func(n int, line []byte) {
		var step struct {
			Names, Matches           []string
			Pattern, Error, Overflow string
		}
		if err := json.Unmarshal(line, &step); err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			names = step.Names
			return
		}
		re, err := compilePython(step.Pattern)
		switch {
		case step.Overflow != "":
			if described(err) != "builtins.OverflowError: "+step.Overflow {
				t.Errorf("%q: got %s, want %s", step.Pattern, described(err), step.Overflow)
			}
		case step.Error != "":
			if want := "errors.NamingError: invalid regex: " + step.Error; described(err) != want && (err == nil || !strings.Contains(err.Error(), "not supported")) {
				t.Errorf("%q:\n got %s\nwant %s", step.Pattern, described(err), want)
			}
		case err != nil && strings.Contains(err.Error(), "not supported"):
			unsupported++
		case err != nil:
			t.Errorf("%q: got %s, want matches %q", step.Pattern, described(err), step.Matches)
		default:
			var matches []string
			for _, name := range names {
				if re.MatchString(name) {
					matches = append(matches, name)
				}
			}
			if !slices.Equal(matches, step.Matches) && !knownDifference.MatchString(step.Pattern) {
				t.Errorf("%q (%v): got %q, want %q", step.Pattern, re, matches, step.Matches)
			}
		}
	})
	t.Log(unsupported, "patterns that Python takes are not supported")
	if unsupported > 150 {
		t.Errorf("%d patterns are not supported", unsupported)
	}
}
