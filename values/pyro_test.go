package values

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

var update = flag.Bool("update", false, "write testdata/go.txt anew, for testdata/pyro.py to check")

// recorded is a line of testdata/pyro.txt and go.txt.
type recorded struct {
	dialect, serializer, name string
	payload                   []byte // nil where the library refuses
}

func readRecorded(t testing.TB, file string) (all []recorded) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		parts := strings.SplitN(lines.Text(), " ", 3)
		dec := json.NewDecoder(strings.NewReader(parts[2]))
		r := recorded{dialect: parts[0], serializer: parts[1]}
		var latin *string
		if err := errors.Join(dec.Decode(&r.name), dec.Decode(&latin)); err != nil {
			t.Fatal(err)
		}
		if latin != nil {
			r.payload = []byte{}
			for _, c := range *latin {
				r.payload = append(r.payload, byte(c))
			}
		}
		all = append(all, r)
	}
	return all
}

func (r recorded) codec() Codec {
	d := wire.V502
	if r.dialect != "5" {
		d = wire.V48
	}
	c, ok := For(d, wire.SerializerByName(r.serializer))
	if !ok {
		panic(r.serializer)
	}
	return c
}

// sameCall compares calls; no keywords may be nil or an empty Dict.
func (c comparison) sameCall(want, got Call) bool {
	return want.Object == got.Object && want.Method == got.Method && c.same(List(want.Args), List(got.Args)) && c.sameDict(want.Kwargs, got.Kwargs)
}

// failings are what the libraries write and do not read again, or not as what it was.
var failings = map[string]bool{
	"4 msgpack tuple key": true, "5 msgpack tuple key": true, // a list as a key
	// From 3.11 on all objects have a __getstate__, and Pyro4 takes it for one with the class.
	"4 json thing": true, "4 marshal thing": true, "4 msgpack thing": true,
	// Python 2's bytes are its strings, it encodes surrogates, and its str(True) is a key.
	"4-py2 serpent bytes": true, "4-py2 serpent empty bytes": true, "4-py2 serpent bytes in a set": true, "4-py2 serpent bytes key": true,
	"4-py2 json bytes": true, "4-py2 json empty bytes": true, "4-py2 json bytes in a set": true, "4-py2 json bytes key": true,
	"4-py2 marshal empty bytes": true, "4-py2 marshal bytes key": true,
	"4-py2 json surrogate": true, "4-py2 msgpack surrogate": true, "4-py2 json other keys": true,
	"4-py2 serpent nan complex": true, // a dict plus a number
}

// TestReadPyro reads what the real libraries wrote.
func TestReadPyro(t *testing.T) {
	read := 0
	for _, r := range readRecorded(t, "testdata/pyro.txt") {
		c := comparison{serializer: r.codec().serializer, loose: true, keyless: r.dialect == "5", python2: r.dialect == "4-py2"}
		switch {
		case r.payload == nil:
			continue
		case failings[r.dialect+" "+r.serializer+" "+r.name], failings[r.dialect[:1]+" "+r.serializer+" "+r.name]:
			continue
		}
		read++
		if want, isCall := callTable[r.name]; isCall {
			got, err := r.codec().DecodeCall(r.payload, DefaultLimits())
			if err != nil || !c.sameCall(want, got) {
				t.Errorf("%s %s %s: read %#v, %v from %q", r.dialect, r.serializer, r.name, got, err, r.payload)
			}
			continue
		}
		want, known := table[r.name]
		got, err := r.codec().Decode(r.payload, DefaultLimits())
		if !known || err != nil || !c.same(want, got) {
			t.Errorf("%s %s %s: read %#v, %v from %q", r.dialect, r.serializer, r.name, got, err, r.payload)
		}
	}
	if read < 700 {
		t.Errorf("only %d were read", read)
	}
}

// written is what Go writes for what is recorded in r.
func (r recorded) written() ([]byte, error) {
	if call, isCall := callTable[r.name]; isCall {
		return r.codec().AppendCall(nil, call)
	}
	return r.codec().Append(nil, table[r.name])
}

// others are the values that Go writes in a form of its own: their parts have no order
// in Python or another one, or their NaN has other bits, or a list stands for a tuple,
// or the library writes what it cannot read.
var others = map[string]bool{
	"set": true, "tuples in a set": true, "meta uri": true, "thing": true, "nan": true, "nan complex": true,
	"call: batch": true, "call: empty batch": true, "call: list": true, "bytes in a set": true, "bytes key": true,
}

// TestWritePyro compares what Go writes with what Python 3 wrote, byte by byte but in
// marshal, where Python writes another version.
func TestWritePyro(t *testing.T) {
	compared := 0
	for _, r := range readRecorded(t, "testdata/pyro.txt") {
		if r.dialect == "4-py2" || r.payload == nil {
			continue
		}
		payload, err := r.written()
		pyro4Proxy := strings.Contains(r.name, "proxy") && r.dialect == "4" // its timeout is a float
		if err == nil && (r.serializer == "marshal" || others[r.name] || pyro4Proxy) {
			continue
		}
		compared++
		if err != nil || string(payload) != string(r.payload) {
			t.Errorf("%s %s %s: %v, wrote\n%q, Pyro\n%q", r.dialect, r.serializer, r.name, err, payload, r.payload)
		}
	}
	if compared < 300 {
		t.Errorf("only %d were compared", compared)
	}
}

// TestGoPayloads: testdata/go.txt, which testdata/pyro.py has checked, is what Go writes.
func TestGoPayloads(t *testing.T) {
	const file = "testdata/go.txt"
	var all strings.Builder
	for _, r := range readRecorded(t, "testdata/pyro.txt") {
		if r.dialect == "4-py2" {
			continue
		}
		payload, err := r.written()
		if err != nil && !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s %s %s: %v", r.dialect, r.serializer, r.name, err)
		}
		name, _ := json.Marshal(r.name)
		text := []byte("null")
		if err == nil {
			var latin []rune
			for _, c := range payload {
				latin = append(latin, rune(c))
			}
			text, _ = json.Marshal(string(latin))
		}
		fmt.Fprintf(&all, "%s %s %s %s\n", r.dialect, r.serializer, name, text)
	}
	if *update {
		if err := os.WriteFile(file, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if all.String() != string(want) {
		t.Errorf("Go writes something else than %s; write it anew with -update, and have pyro.py check it", file)
	}
}

// TestURIs compares with what the real libraries read.
func TestURIs(t *testing.T) {
	f, err := os.Open("testdata/uris.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		_, line, _ := strings.Cut(lines.Text(), " ")
		var text string
		var parsed []any
		if err := json.Unmarshal([]byte(line), &[]any{&text, &parsed}); err != nil {
			t.Fatal(err)
		}
		got, err := ParseURI(text)
		if parsed == nil {
			if !errors.Is(err, ErrURI) {
				t.Errorf("%q: read %#v, %v", text, got, err)
			}
			continue
		}
		for i, v := range parsed {
			if v == nil {
				parsed[i] = ""
			}
		}
		port, _ := parsed[3].(float64)
		want := URI{parsed[0].(string), parsed[1].(string), parsed[2].(string), int(port), parsed[4].(string)}
		if text == "PYRO:a@h:9223372036854775807" {
			want.Port = 9223372036854775807
			parsed[5] = "h:9223372036854775807"
		}
		if err != nil || got != want || got.Location() != parsed[5] {
			t.Errorf("%q: read %#v, %v, want %#v at %v", text, got, err, want, parsed[5])
		}
	}
}
