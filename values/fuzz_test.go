package values

import (
	"errors"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

var codecs = func() (all []Codec) {
	for _, d := range []wire.Dialect{wire.V48, wire.V502} {
		for _, s := range []wire.Serializer{wire.Serpent, wire.JSON, wire.Marshal, wire.Msgpack} {
			c, _ := For(d, s)
			all = append(all, c)
		}
	}
	return all
}()

// few is what the fuzzers read within; many is enough for what is written of that.
var (
	few  = Limits{Depth: 12, Items: 1000, Bytes: 1 << 16}
	many = Limits{Depth: 150, Items: 1 << 20, Bytes: 1 << 24}
)

func seed(f *testing.F) {
	for _, file := range []string{"testdata/pyro.txt", "testdata/go.txt"} {
		for _, r := range readRecorded(f, file) {
			for i, c := range codecs {
				if r.payload != nil && c == r.codec() {
					f.Add(uint8(i), r.payload)
				}
			}
		}
	}
	for i := range codecs {
		for _, hard := range hardPayloads {
			f.Add(uint8(i), []byte(hard))
		}
	}
}

// FuzzDecode: what can be read can be written, and is read as the same.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		c := codecs[int(which)%len(codecs)]
		v, err := c.Decode(data, few)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrLimit) {
				t.Fatal(err)
			}
			return
		}
		if n := count(v, few.Depth+3); n > 5*few.Items {
			t.Fatalf("%d values", n)
		}
		written, err := c.Append(nil, v)
		if err != nil {
			t.Fatalf("%#v: %v", v, err)
		}
		again, err := c.Decode(written, many)
		if err != nil || !(comparison{serializer: c.serializer, keyless: c.dialect == wire.V502}).same(v, again) {
			t.Fatalf("%#v, written as %q, is read as %#v, %v", v, written, again, err)
		}
	})
}

// FuzzDecodeCall is that for calls.
func FuzzDecodeCall(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		c := codecs[int(which)%len(codecs)]
		call, err := c.DecodeCall(data, few)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrLimit) {
				t.Fatal(err)
			}
			return
		}
		if calls, err := Batch(call); err == nil && len(calls) != len(call.Args) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(calls, err)
		}
		written, err := c.AppendCall(nil, call)
		if err != nil {
			t.Fatalf("%#v: %v", call, err)
		}
		again, err := c.DecodeCall(written, many)
		if err != nil || !(comparison{serializer: c.serializer, keyless: c.dialect == wire.V502}).sameCall(call, again) {
			t.Fatalf("%#v, written as %q, is read as %#v, %v", call, written, again, err)
		}
	})
}

// FuzzParseURI: a URI's text is read as the same URI, or not at all.
func FuzzParseURI(f *testing.F) {
	for _, text := range []string{"PYRO:a@h:1", "PYRONAME:a", "PYROMETA:b,a@[::1]", "PYRO:a@./u:s", "PYRO:a@:1", "PYROMETA:b,a@", "PYRO:a@:0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURI(text)
		if err != nil {
			if !errors.Is(err, ErrURI) {
				t.Fatal(err)
			}
			return
		}
		if u.Object == "" || u.Location() == "" && (u.Port != 0 || u.Protocol == "PYRO") || u.Protocol == "PYROMETA" && strings.Contains(u.Object, "@") {
			return // what Pyro reads, and does not write so that it could
		}
		switch again, err := ParseURI(u.String()); {
		case err == nil && again != u:
			t.Fatalf("%#v as text is read as %#v", u, again)
		case err != nil:
			t.Fatalf("%#v as text is not read", u)
		}
	})
}

// count is how many values are in v, whether shared or not.
func count(v Value, depth int) int {
	if depth < 0 {
		panic("too deep")
	}
	n := 1
	all := func(items []Value) {
		for _, item := range items {
			n += count(item, depth-1)
		}
	}
	pairs := func(d Dict) {
		for _, p := range d {
			n += count(p.Key, depth-1) + count(p.Value, depth-1)
		}
	}
	switch v := v.(type) {
	case Tuple:
		all(v)
	case List:
		all(v)
	case Set:
		all(v)
	case Dict:
		pairs(v)
	case Instance:
		pairs(v.Fields)
	case *Exception:
		all(v.Args)
		pairs(v.Attributes)
	case Raised:
		n += count(v.Exception, depth-1)
	case Proxy:
		n += count(v.Handshake, depth-1)
	}
	return n
}
