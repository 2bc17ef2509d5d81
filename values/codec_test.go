package values

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// laughs is marshal data of a tuple that has the one before it twice, n times over.
func laughs(n int) string {
	s := strings.Repeat("\xa9\x02", n) + "NN"
	for i := n - 1; i > 0; i-- {
		s += "r" + string(binary.LittleEndian.AppendUint32(nil, uint32(i)))
	}
	return s
}

// longText is marshal data of a list of n times the same long string.
func longText(n int) string {
	s := "[" + string(binary.LittleEndian.AppendUint32(nil, uint32(n))) + "\xf5\x00\x20\x00\x00" + strings.Repeat("x", 0x2000)
	return s + strings.Repeat("r\x00\x00\x00\x00", n-1)
}

// hardPayloads are to be refused, each in some serializer at least.
var hardPayloads = []string{
	strings.Repeat("(", 5000), strings.Repeat("[", 5000), strings.Repeat("{1:", 5000), strings.Repeat(`{"a":`, 5000),
	strings.Repeat("\x91", 5000), strings.Repeat("\xdd\xff\xff\xff\xff", 50), "\xdf\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff1",
	"[" + strings.Repeat("1,", 5000) + "1]", laughs(11), longText(1000), "\xab\x01\x00\x00\x00r\x00\x00\x00\x00",
	strings.Repeat("9", 5000), "-" + strings.Repeat("9", 4301), "l\x00\x20\x00\x00" + strings.Repeat("\x01\x00", 0x2000),
	"{'__class__':'Pyro5.core.URI','state':('PYRO','a',None,'h')}", "{'__class__':'Pyro4.core.Proxy','state':('x',)}",
	"{'__class__':'Pyro5.errors.PyroError'}", "{'__class__':7}", "{'__class__':'Pyro5.core._ExceptionWrapper','exception':1}",
	"{[]:1}", "{{1}}", "{{'__class__':'float','value':'nan'}}", "1+2", "1j+2j", "'a", "'a\nb'", "b'\xff'", `'\N{DASH}'`, `'\ud8'`, "007", "1 2", "nan",
	"\"a\x01\"", `"\ud8"`, "[1,]", "{\"a\":1,}", "01", "1.", "+1", "[1 2]", "N0", "'\x00'", "#\x00\n1", "", "\xd6\xff\x00\x00\x00\x00", "\x81\x90\x01",
}

func TestRefuse(t *testing.T) {
	limit := map[string]bool{}
	for i, hard := range hardPayloads {
		refused := false
		for _, c := range codecs {
			_, err := c.Decode([]byte(hard), few)
			if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrLimit) {
				t.Errorf("%v: %.40q: %v", c, hard, err)
			}
			refused = refused || err != nil
			if errors.Is(err, ErrLimit) {
				limit[hard] = true
			}
		}
		if !refused {
			t.Errorf("%.40q was taken by all", hard)
		}
		if bounded := i < 5 || i >= 9 && i < 12 || i >= 13 && i < 16; bounded && !limit[hard] {
			t.Errorf("%.40q was not too much for any", hard)
		}
	}
}

func TestReadForms(t *testing.T) {
	for _, c := range []struct {
		serializer wire.Serializer
		payload    string
		want       Value
	}{
		{wire.Serpent, "# comment\n ( 1 , 'a' , ) # more", Tuple{int64(1), "a"}},
		{wire.Serpent, "(1)", int64(1)},
		{wire.Serpent, "{\n  'a': [\n    1,\n  ],\n}", Dict{{"a", List{int64(1)}}}},
		{wire.Serpent, "[1L,-1,+1,0,1.,.5,1e3,-1e30000,2j,1-2j,(1.5 + 2j)]",
			List{int64(1), int64(-1), int64(1), int64(0), 1.0, .5, 1000.0, math.Inf(-1), 2i, 1 - 2i, 1.5 + 2i}},
		{wire.Serpent, `[u'a',U"b",b'\xff\u1',B"c",'\x41\u00e9\U0001f600\101\0\q\'\"\\\n\a']`,
			List{"a", "b", []byte("\xff\\u1"), []byte("c"), "Aé\U0001f600A\x00\\q'\"\\\n\a"}},
		{wire.Serpent, "'a\\\nb'", "ab"},
		{wire.Serpent, "{1:'a',1.0:'b',True:'c',2:'d'}", Dict{{int64(1), "c"}, {int64(2), "d"}}},
		{wire.Serpent, "{1,1.0,'a',(1,2),(1,2.0)}", Set{int64(1), "a", Tuple{int64(1), int64(2)}}},
		{wire.Serpent, "{'data':'not base64','encoding':'base64'}", Dict{{"data", "not base64"}, {"encoding", "base64"}}},
		{wire.Serpent, "{'__class__':'KeyError','__exception__':True,'args':('x',)}", &Exception{Class: "builtins.KeyError", Args: []Value{"x"}}},
		{wire.Serpent, "{'__class__':'exceptions.KeyError','__exception__':True,'args':()}", &Exception{Class: "builtins.KeyError"}},
		{wire.Serpent, "{'__class__':'TimeoutError','__exception__':True,'args':()}", &Exception{Class: "errors.TimeoutError"}},
		{wire.Serpent, "{'__class__':'Pyro4.errors.NamingError','args':[]}", &Exception{Class: "errors.NamingError"}},
		{wire.JSON, " [ 1 , -0 , 1E3 , 1e999 , NaN , -Infinity ] ", List{int64(1), int64(0), 1000.0, math.Inf(1), math.NaN(), math.Inf(-1)}},
		{wire.JSON, `"\u00e9\ud83d\ude00\ud800\/\b"`, "é\U0001f600\xed\xa0\x80/\b"},
		{wire.JSON, `{"a":1,"b":2,"a":3}`, Dict{{"a", int64(3)}, {"b", int64(2)}}},
		{wire.Marshal, "N and more", nil},
		{wire.Marshal, ")\x02\xa9\x01Nr\x00\x00\x00\x00", Tuple{Tuple{nil}, Tuple{nil}}},
		{wire.Msgpack, "\xca\x3f\x80\x00\x00", 1.0},
		{wire.Msgpack, "\x92\xd0\xff\xcf\x80\x00\x00\x00\x00\x00\x00\x00", List{int64(-1), new(big.Int).SetUint64(1 << 63)}},
		{wire.Msgpack, "\x82\xc4\x09__class__\xc4\x0ePyro4.core.URI\xc4\x05state\x95\xc4\x04PYRO\xc4\x01a\xc0\xc4\x01h\x01", URI{"PYRO", "a", "h", 1, ""}},
	} {
		codec, _ := For(wire.V502, c.serializer)
		got, err := codec.Decode([]byte(c.payload), DefaultLimits())
		if err != nil || !(comparison{serializer: c.serializer}).same(c.want, got) {
			t.Errorf("%v %q: read %#v, %v", c.serializer, c.payload, got, err)
		}
	}
}

// TestUnsupported: what cannot be written leaves what was there.
func TestUnsupported(t *testing.T) {
	circle := List{nil}
	circle[0] = circle
	for _, c := range codecs {
		for name, v := range map[string]Value{
			"circle": circle, "struct": struct{}{}, "text": "\xff", "half a surrogate": "\xed\xa0", "list as key": Dict{{List{}, nil}},
			"huge": new(big.Int).Set(maxInt), "no exception": (*Exception)(nil), "deep in a key": Set{Tuple{Tuple{Dict{}}}},
			"no number": (*big.Int)(nil), "bad keyword": Dict{{"a", "\xff"}},
		} {
			if c.serializer == wire.JSON && name == "deep in a key" || c.serializer == wire.Msgpack && name == "deep in a key" {
				continue // lists, there
			}
			got, err := c.Append([]byte("before"), v)
			if !errors.Is(err, ErrUnsupported) || string(got) != "before" {
				t.Errorf("%v %s: %q, %v", c, name, got, err)
			}
		}
	}
}

func TestFor(t *testing.T) {
	for _, s := range []wire.Serializer{wire.Pickle, wire.Dill, wire.Cloudpickle, wire.UnknownSerializer, 99} {
		if _, ok := For(wire.V48, s); ok {
			t.Errorf("%v has a codec", s)
		}
	}
}

func TestBatch(t *testing.T) {
	calls, err := Batch(callTable["call: batch"])
	want := []Call{{Object: "obj", Method: "a", Args: []Value{int64(1)}}, {Object: "obj", Method: "b", Kwargs: Dict{{"k", int64(2)}}}}
	if err != nil || !slices.EqualFunc(calls, want, comparison{}.sameCall) {
		t.Errorf("%#v, %v", calls, err)
	}
	for _, call := range []Call{
		{Method: "a"}, {Method: "<batch>", Args: []Value{nil}}, {Method: "<batch>", Args: []Value{Tuple{"a", Tuple{}}}},
		{Method: "<batch>", Args: []Value{Tuple{int64(1), Tuple{}, Dict{}}}}, {Method: "<batch>", Args: []Value{Tuple{"a", "b", Dict{}}}},
		{Method: "<batch>", Args: []Value{Tuple{"a", Tuple{}, Dict{{int64(1), nil}}}}},
	} {
		if _, err := Batch(call); !errors.Is(err, ErrMalformed) {
			t.Errorf("%#v: %v", call, err)
		}
	}
}

// Keywords may have the names that serpent's bytes have.
func TestKeywordsLikeBytes(t *testing.T) {
	c, _ := For(wire.V502, wire.Serpent)
	call := Call{Object: "o", Method: "m", Kwargs: Dict{{"data", "aGk="}, {"encoding", "base64"}}}
	payload, err := c.AppendCall(nil, call)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.DecodeCall(payload, DefaultLimits()); err != nil || !(comparison{}).sameCall(call, got) {
		t.Errorf("%#v, %v", got, err)
	}
}

func TestInflate(t *testing.T) {
	var deflated bytes.Buffer
	w := zlib.NewWriter(&deflated)
	w.Write(make([]byte, 1000))
	w.Close()
	if got, err := Inflate(deflated.Bytes(), 1000); err != nil || len(got) != 1000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := Inflate(deflated.Bytes(), 999); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
	for _, bad := range [][]byte{nil, []byte("x"), deflated.Bytes()[:10]} {
		if _, err := Inflate(bad, 1000); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAccess(t *testing.T) {
	if i, ok := Int(int64(7)); i != 7 || !ok {
		t.Error(i, ok)
	}
	for _, v := range []Value{true, 1.0, "1", nil, bigInt("99999999999999999999")} {
		if i, ok := Int(v); ok {
			t.Errorf("%v is %d", v, i)
		}
	}
	if s, ok := Text([]byte("é")); s != "é" || !ok {
		t.Error(s, ok)
	}
	if s, ok := Text([]byte("\xff")); ok {
		t.Errorf("%q", s)
	}
	for _, v := range []Value{List{"a", []byte("b")}, Tuple{"a", "b"}, Set{"a", "b"}} {
		if all, ok := Strings(v); !ok || !slices.Equal(all, []string{"a", "b"}) {
			t.Errorf("%#v: %q", v, all)
		}
	}
	for _, v := range []Value{nil, "ab", List{nil}, Dict{}} {
		if all, ok := Strings(v); ok {
			t.Errorf("%#v: %q", v, all)
		}
	}
}

func TestExceptionText(t *testing.T) {
	for text, e := range map[string]*Exception{
		"NamingError: unknown name: x": {Class: "errors.NamingError", Args: []Value{"unknown name: x"}},
		"KeyError: 7":                  {Class: "builtins.KeyError", Args: []Value{int64(7)}},
		"Plain":                        {Class: "Plain"},
		"E: [1 a]":                     {Class: "m.E", Args: []Value{int64(1), "a"}},
	} {
		if e.Error() != text {
			t.Errorf("%q, want %q", e.Error(), text)
		}
	}
}
