package values

import (
	"math"
	"math/big"
	"strings"
)

func bigInt(text string) *big.Int {
	i, ok := new(big.Int).SetString(text, 10)
	if !ok {
		panic(text)
	}
	return i
}

func numbers(n int64) (l List) {
	for i := range n {
		l = append(l, i)
	}
	return l
}

var (
	part     = List{"part"}
	theProxy = Proxy{URI: URI{"PYRO", "obj", "example.com", 4444, ""}, Methods: []string{"one"}, Attrs: []string{"attr"}, Handshake: Dict{{"secret", int64(1)}}}
)

// table is the values of testdata/pyro.py.
var table = map[string]Value{
	"none": nil, "true": true, "false": false,
	"zero": int64(0), "int": int64(-42), "int32": int64(math.MaxInt32), "beyond int32": int64(1 << 31),
	"below int32": int64(math.MinInt32 - 1), "most": int64(math.MaxInt64), "least": int64(math.MinInt64),
	"uint64": bigInt("18446744073709551615"), "big": bigInt("18446744073709551616"),
	"negative big": bigInt("-1" + strings.Repeat("0", 30)),
	"float":        1.5, "whole float": 3.0, "negative zero": math.Copysign(0, -1), "large float": 1e16,
	"small float": 0.00001234, "not so large float": 123456789012345.6,
	"inf": math.Inf(1), "-inf": math.Inf(-1), "nan": math.NaN(),
	"complex": complex(1.5, -2), "infinite complex": complex(1, math.Inf(1)), "nan complex": complex(math.NaN(), 1),
	"empty": "", "text": "hello", "quotes": "it's \"so\" \\ `", "one quote": "it's",
	"controls": "\x00\x01\t\n\r\x0b\x0c\x08\x1f\x7f\u0085\u00a0", "letters": "é€中\u2028\U0001f600",
	"surrogate": "a\xed\xa0\x80b", "long text": strings.Repeat("x", 300),
	"bytes": []byte("\x00\xff'\\hello"), "empty bytes": []byte{},
	"empty tuple": Tuple{}, "single": Tuple{int64(1)}, "pair": Tuple{int64(1), Tuple{int64(2), "x"}},
	"empty list": List{}, "list": List{nil, true, List{}, List{1.5}}, "long list": numbers(20),
	"shared":    List{part, part, Dict{{"again", part}}},
	"empty set": Set{}, "set": Set{int64(1), int64(2), "a"},
	"tuples in a set": Set{Tuple{int64(1), "a"}, Tuple{int64(2), "b"}}, "bytes in a set": Set{[]byte("\x00'")},
	"frozen set in a set": Set{Set{int64(1)}},
	"empty dict":          Dict{}, "dict": Dict{{"a", int64(1)}, {"b", List{Dict{{"c", nil}}}}},
	"int keys": Dict{{int64(1), "a"}, {int64(-2), "b"}}, "other keys": Dict{{true, "a"}, {2.5, "c"}},
	"none key": Dict{{nil, "b"}}, "tuple key": Dict{{Tuple{int64(1), int64(2)}, "a"}}, "bytes key": Dict{{[]byte("k"), "a"}},
	"uri": URI{"PYRO", "obj", "example.com", 4444, ""}, "ipv6 uri": URI{"PYRO", "obj", "::1", 4444, ""},
	"socket uri": URI{"PYRO", "obj", "", 0, "/tmp/sock"}, "name uri": URI{"PYRONAME", "some.name", "", 0, ""},
	"name uri at": URI{"PYRONAME", "some.name", "host", 9090, ""}, "meta uri": URI{"PYROMETA", "a,b", "host", 99, ""},
	"uris":         List{URI{"PYRO", "obj", "h", 1, ""}, Dict{{"k", URI{"PYRO", "obj", "h", 2, ""}}}},
	"proxy":        theProxy,
	"keyed proxy":  keyed(theProxy),
	"naming error": &Exception{Class: "errors.NamingError", Args: []Value{"unknown name"}},
	"timeout":      &Exception{Class: "errors.TimeoutError"},
	"value error":  &Exception{Class: "builtins.ValueError", Args: []Value{"no", int64(1)}},
	"attributes": &Exception{Class: "builtins.KeyError", Args: []Value{"x", int64(2)},
		Attributes: Dict{{"_pyroTraceback", List{"line 1\n", "line 2\n"}}}},
	"raised": List{int64(1), Raised{&Exception{Class: "errors.PyroError", Args: []Value{"x"}}}},
	"thing":  Instance{"things.Thing", Dict{{"n", int64(1)}}},
}

func keyed(p Proxy) Proxy {
	p.Serializer, p.HMACKey = "json", []byte("key")
	return p
}

// callTable is the calls of testdata/pyro.py.
var callTable = map[string]Call{
	"call: plain": {Object: "obj", Method: "method"},
	"call: args": {Object: "Pyro.NameServer", Method: "register", Args: []Value{"name", URI{"PYRO", "o", "h", 1, ""}},
		Kwargs: Dict{{"safe", true}, {"metadata", Set{"m"}}}},
	"call: list":  {Object: "obj", Method: "m", Args: []Value{int64(1), Tuple{int64(2)}}},
	"call: proxy": {Object: "obj", Method: "m", Args: []Value{theProxy}, Kwargs: Dict{{"k", theProxy}}},
	"call: big":   {Object: "obj", Method: "m", Args: []Value{bigInt("1180591620717411303424"), complex(0, 1)}},
	"call: batch": {Object: "obj", Method: "<batch>", Args: []Value{
		Tuple{"a", Tuple{int64(1)}, Dict{}}, Tuple{"b", Tuple{}, Dict{{"k", int64(2)}}}}},
	"call: empty batch": {Object: "obj", Method: "<batch>"},
}
