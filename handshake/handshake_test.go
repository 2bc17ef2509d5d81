package handshake

import (
	"bytes"
	"compress/zlib"
	"errors"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// readerCase is one payload; want is the id where err is nil.
type readerCase struct {
	name    string
	payload string
	want    string
	err     error
}

func testReader(t *testing.T, f wire.Serializer, cases []readerCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Object(f, false, []byte(c.payload), Limits{})
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("Object(%s, %.200q) = %q, %v; want %q, %v", f, c.payload, got, err, c.want, c.err)
			}
		})
	}
}

func TestSerpent(t *testing.T) {
	testReader(t, wire.Serpent, []readerCase{
		{"plain", "# serpent utf-8 python3.2\n{'handshake':'hello','object':'x'}", "x", nil},
		{"object first", "{'object':'x','handshake':None}", "x", nil},
		{"no header, all blanks", " \t\f\r\n { 'object' : # c\r 'x' , } # end", "x", nil},
		{"last wins", "{'object':'a','object':'b'}", "b", nil},
		{"last wins, no string", "{'object':'a','object':1}", "", ErrNoObject},
		{"nested", "{'handshake':{'object':'no'},'x':[{'object':'no'}],'object':'x'}", "x", nil},
		{"nested only", "{'handshake':{'object':'no'}}", "", ErrNoObject},
		{"in a string", `{"handshake":"'object':'no'",'object':'x'}`, "x", nil},
		{"in a comment", "{'object':'x'#,'object':'no'\n}", "x", nil},
		{"escaped key", `{'\x6fb\152\u0065\U00000063t':'x'}`, "x", nil},
		{"joined", "{'obj' 'ect':'a' \"b\"\n'''c'''}", "abc", nil},
		{"prefixes", `{u'object':R'a\nb'}`, `a\nb`, nil},
		{"raw quote", `{'object':r'a\'b'}`, `a\'b`, nil},
		{"bytes", `{'object':b'caf\xc3\xa9'}`, "café", nil},
		{"bytes key", `{b'object':b'x'}`, "x", nil},
		{"text and bytes keys", `{b'object':'a','object':'b'}`, "", ErrMalformed},
		{"bytes, no UTF-8", `{'object':b'\xff'}`, "", ErrNoObject},
		{"triple quotes", `{'object':"""a"b""c\""""}`, `a"b""c"`, nil},
		{"all escapes", `{'object':'\a\b\f\n\r\t\v\\\'\"\0\08\777\d\` + "\n" + `.'}`, "\a\b\f\n\r\t\v\\'\"\x00\x008\u01ff\\d.", nil},
		{"line end in triple quotes", "{'object':'''a\nb'''}", "a\nb", nil},
		{"carriage return in triple quotes", "{'object':'''a\r\nb'''}", "", ErrMalformed},
		{"the same, not decoded", "{'x':'''a\\\r\nb''','object':'x'}", "x", nil},
		{"single surrogate", `{'object':'\ud800'}`, "", ErrNoObject},
		{"surrogates make no pair", `{'object':'\ud83d\ude00'}`, "", ErrNoObject},
		{"surrogate in a key", `{'\ud800bject':'a','object':'x'}`, "x", nil},
		{"named character", `{'object':'\N{DIGIT ONE}'}`, "", ErrMalformed},
		{"named character in a key", `{'\N{LATIN SMALL LETTER O}bject':'a','object':'x'}`, "", ErrMalformed},
		{"named character elsewhere", `{'handshake':'\N{DIGIT ONE}','object':'x'}`, "x", nil},
		{"numbers", "{'handshake':[1,-2,+3,1_000,0x1e+1j,0xFF,0o17,0b1,1.,.5,1e5,-1e30000,(1e30000-2.5j),-0.0-0j,1J],'object':'x'}", "x", nil},
		{"words", "{'handshake':[None,True,False,set()],'object':'x'}", "x", nil},
		{"sets and tuples", "{'handshake':({1,2,},(),(1,),(1,2),[],[1,],{}),'object':'x'}", "x", nil},
		{"in parentheses", "(({('object'):('x')}))", "x", nil},
		{"parentheses make a tuple", "({'object':'x'},)", "", ErrNoObject},
		{"parenthesised key wins", "{'object':'a',('object'):'b'}", "b", nil},
		{"tuple key", "{('object',):'a'}", "", ErrNoObject},
		{"number", "{'object':1}", "", ErrNoObject},
		{"list", "['object','x']", "", ErrNoObject},
		{"set", "{'object'}", "", ErrNoObject},
		{"empty dict", "{}", "", ErrNoObject},
		{"two dicts", "{'object':'x'}{}", "", ErrMalformed},
		{"subscript", "{'object':{'object':'x'}}['object']", "", ErrMalformed},
		{"sum of strings", "{'object':'a'+'b'}", "", ErrMalformed},
		{"formatted string", "{'object':f'x'}", "", ErrMalformed},
		{"two prefixes", "{'object':ur'x'}", "", ErrMalformed},
		{"call", "{'object':str('x')}", "", ErrMalformed},
		{"name", "{'object':x}", "", ErrMalformed},
		{"unpacking", "{**{},'object':'x'}", "", ErrMalformed},
		{"text next to bytes", "{'object':'a' b'b'}", "", ErrMalformed},
		{"line end in a string", "{'object':'a\nb'}", "", ErrMalformed},
		{"short escape", `{'object':'\x4'}`, "", ErrMalformed},
		{"beyond Unicode", `{'object':'\U00110000'}`, "", ErrMalformed},
		{"no value", "{'object':}", "", ErrMalformed},
		{"comma alone", "{,}", "", ErrMalformed},
		{"zero byte", "{'object':'x'} # \x00", "", ErrMalformed},
		{"no UTF-8", "{'object':'\xe9'}", "", ErrMalformed},
		{"empty", "", "", ErrMalformed},
		{"too deep", "{'handshake':" + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + ",'object':'x'}", "", ErrLimit},
	})
}

func TestJSON(t *testing.T) {
	testReader(t, wire.JSON, []readerCase{
		{"plain", `{"handshake": "hello", "object": "x"}`, "x", nil},
		{"blanks", " \t\r\n{ \"object\" : \"x\" } \n", "x", nil},
		{"last wins", `{"object": "a", "object": "b"}`, "b", nil},
		{"nested", `{"handshake": {"object": "no"}, "object": "x", "z": [{"object": "no"}]}`, "x", nil},
		{"nested only", `{"handshake": {"object": "no"}}`, "", ErrNoObject},
		{"in a string", `{"handshake": "\", \"object\": \"no", "object": "x"}`, "x", nil},
		{"escaped key", `{"\u006f\u0062ject": "x"}`, "x", nil},
		{"all escapes", `{"object": "\"\\\/\b\f\n\r\t\u00e9\u20ac"}`, "\"\\/\b\f\n\r\té€", nil},
		{"surrogate pair", `{"object": "\ud83d\ude00"}`, "😀", nil},
		{"single surrogate", `{"object": "\ud83dx"}`, "", ErrNoObject},
		{"surrogate and a plain u", `{"object": "\ud83dxude00"}`, "", ErrNoObject},
		{"two high surrogates", `{"object": "\ud83d\ud83d"}`, "", ErrNoObject},
		{"surrogate elsewhere", `{"handshake": "\ud83d", "object": "x"}`, "x", nil},
		{"zero byte", `{"object": "\u0000"}`, "\x00", nil},
		{"numbers", `{"handshake": [0, -0, 1.5e+3, 1E5, -2e-2, NaN, Infinity, -Infinity], "object": "x"}`, "x", nil},
		{"words", `{"handshake": [true, false, null, {}, [], [[]]], "object": "x"}`, "x", nil},
		{"not a string", `{"object": ["x"]}`, "", ErrNoObject},
		{"list", `["object", "x"]`, "", ErrNoObject},
		{"data after", `{"object": "x"} {}`, "", ErrMalformed},
		{"trailing comma", `{"object": "x",}`, "", ErrMalformed},
		{"leading zero", `{"object": "x", "n": 01}`, "", ErrMalformed},
		{"bare fraction", `{"object": "x", "n": 1.}`, "", ErrMalformed},
		{"bare exponent", `{"object": "x", "n": 1e}`, "", ErrMalformed},
		{"-NaN", `{"object": "x", "n": -NaN}`, "", ErrMalformed},
		{"control character", "{\"object\": \"x\n\"}", "", ErrMalformed},
		{"bad escape", `{"object": "\x41"}`, "", ErrMalformed},
		{"bad hex", `{"object": "\u00g0"}`, "", ErrMalformed},
		{"byte order mark", "\ufeff{\"object\": \"x\"}", "", ErrMalformed},
		{"no UTF-8", "{\"object\": \"\xe9\"}", "", ErrMalformed},
		{"number as a key", `{1: 2, "object": "x"}`, "", ErrMalformed},
		{"wrong bracket", `{"a": [}, "object": "x"}`, "", ErrMalformed},
		{"empty", "", "", ErrMalformed},
		{"too deep", `{"handshake":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `,"object":"x"}`, "", ErrLimit},
	})
}

func TestMarshal(t *testing.T) {
	const key = "\xda\x06object"
	testReader(t, wire.Marshal, []readerCase{
		{"version 4", "{\xda\x09handshake\xda\x05hello" + key + "\xda\x01x0", "x", nil},
		{"version 2 of Python 2", "{s\x06\x00\x00\x00objectu\x02\x00\x00\x00\xc3\xa90", "é", nil},
		{"bytes", "{s\x06\x00\x00\x00objects\x01\x00\x00\x00x0", "x", nil},
		{"bytes, no UTF-8", "{s\x06\x00\x00\x00objects\x01\x00\x00\x00\xff0", "", ErrNoObject},
		{"interned, Python 2", "{t\x06\x00\x00\x00object[\x00\x00\x00\x00R\x00\x00\x00\x00t\x01\x00\x00\x00x0", "x", nil},
		{"value by reference", "{N\xda\x01x" + key + "r\x00\x00\x00\x000", "x", nil},
		{"key by reference", "{" + key + "Nr\x00\x00\x00\x00z\x01x0", "x", nil},
		{"last wins", "{" + key + "z\x01ar\x00\x00\x00\x00z\x01b0", "b", nil},
		{"nested", "{N{" + key + "z\x02no0" + key + "z\x01x0", "x", nil},
		{"nested only", "{N{" + key + "z\x02no00", "", ErrNoObject},
		{"text and bytes keys", "{" + key + "z\x01as\x06\x00\x00\x00objectz\x01b0", "", ErrMalformed},
		{"data after", "{" + key + "z\x01x0rubbish", "x", nil},
		{"not a string", "{" + key + "N0", "", ErrNoObject},
		{"surrogate", "{" + key + "u\x03\x00\x00\x00\xed\xa0\x800", "", ErrNoObject},
		{"no dict", "[\x01\x00\x00\x00" + key, "", ErrNoObject},
		{"key without a value", "{" + key + "0", "", ErrMalformed},
		{"code", "{Nc" + strings.Repeat("\x00", 100), "", ErrMalformed},
		{"reference to nothing", "{" + key + "r\x07\x00\x00\x000", "", ErrMalformed},
		{"too deep", "{N" + strings.Repeat(")\x01", 2000) + "N" + key + "z\x01x0", "", ErrLimit},
	})
}

func TestMsgpack(t *testing.T) {
	const key = "\xa6object"
	testReader(t, wire.Msgpack, []readerCase{
		{"plain", "\x82\xa9handshake\xa5hello" + key + "\xa1x", "x", nil},
		{"bin", "\x81\xc4\x06object\xc5\x00\x02\xc3\xa9", "é", nil},
		{"wide heads", "\xdf\x00\x00\x00\x01\xdb\x00\x00\x00\x06object\xda\x00\x01x", "x", nil},
		{"map 16", "\xde\x00\x01\xd9\x06object\xc6\x00\x00\x00\x01x", "x", nil},
		{"last wins", "\x82" + key + "\xa1a" + key + "\xa1b", "b", nil},
		{"nested", "\x82\xa1h\x81" + key + "\xa2no" + key + "\xa1x", "x", nil},
		{"nested only", "\x81\xa1h\x91\x81" + key + "\xa2no", "", ErrNoObject},
		{"text and bin keys", "\x82" + key + "\xa1a\xc4\x06object\xa1b", "", ErrMalformed},
		{"every other type", "\x82\xa1h\xdc\x00\x1b" +
			"\x00\x7f\xe0\xff\xc0\xc2\xc3\xc4\x00\xc7\x02\x30ab\xc8\x00\x01\x31a\xc9\x00\x00\x00\x00\x32" +
			"\xca1234\xcb12345678\xcc1\xcd12\xce1234\xcf12345678\xd01\xd112\xd21234\xd312345678" +
			"\xd4t1\xd5t12\xd6t1234\xd7t12345678\xd8t1234567890123456\xdd\x00\x00\x00\x01\xc0" + key + "\xa1x", "x", nil},
		{"number as a key", "\x82\x01\x02" + key + "\xa1x", "x", nil},
		{"not a string", "\x81" + key + "\x01", "", ErrNoObject},
		{"no UTF-8", "\x81" + key + "\xa1\xff", "", ErrNoObject},
		{"no map", "\x92" + key + "\xa1x", "", ErrNoObject},
		{"data after", "\x81" + key + "\xa1x\xc0", "", ErrMalformed},
		{"reserved byte", "\x82\xa1h\xc1" + key + "\xa1x", "", ErrMalformed},
		{"length of 4 GiB", "\x82\xa1h\xdd\xff\xff\xff\xff", "", ErrMalformed},
		{"too deep", "\x82\xa1h" + strings.Repeat("\x91", 2000) + "\xc0" + key + "\xa1x", "", ErrLimit},
	})
}

func TestPickle(t *testing.T) {
	const key = "\x8c\x06object" // the opcode that pushes it
	testReader(t, wire.Pickle, []readerCase{
		{"protocol 0", "(dp0\nS'handshake'\np1\nS'hello'\np2\nsS'object'\np3\nS'x'\np4\ns.", "x", nil},
		{"protocol 0, text", "(dVobject\nVcaf\xe9 \\u20ac\\\\u0041\\x\ns.", "café €\\\\u0041\\x", nil},
		{"protocol 0, escapes", `(dS"obj\145ct"` + "\n" + `S'\x61\'\n\q\\'` + "\ns.", "a'\n\\q\\", nil},
		{"protocol 0, key in escapes", "(dV\\u006fbject\nVx\ns.", "x", nil},
		{"protocol 1", "}q\x00(U\x09handshakeq\x01U\x05helloq\x02U\x06objectq\x03U\x01xq\x04u.", "x", nil},
		{"protocol 2", "\x80\x02}q\x00(X\x06\x00\x00\x00objectq\x01X\x02\x00\x00\x00\xc3\xa9q\x02u.", "é", nil},
		{"protocol 4", "\x80\x04\x95\x12\x00\x00\x00\x00\x00\x00\x00}\x94(" + key + "\x94\x8c\x01x\x94u.....", "x", nil},
		{"dict of marked items", "(" + key + "\x8c\x01xd.", "x", nil},
		{"last wins", "}(" + key + "\x8c\x01a" + key + "\x8c\x01bu.", "b", nil},
		{"last wins over a string", "}(" + key + "\x8c\x01a" + key + "Nu.", "", ErrNoObject},
		{"nested", "}(\x8c\x01h}" + key + "\x8c\x02nos" + key + "\x8c\x01xu.", "x", nil},
		{"nested only", "}\x8c\x01h}" + key + "\x8c\x02noss.", "", ErrNoObject},
		{"by reference", "}(" + key + "\x94\x8c\x01x\x94u}(h\x00h\x01u.", "x", nil},
		{"dict by reference", "}\x94" + key + "\x8c\x01xs0h\x00.", "x", nil},
		{"another dict by reference", "}\x94" + key + "\x8c\x01as}" + key + "\x8c\x01bs.", "b", nil},
		{"filled after it was nested", "}\x94\x8c\x01h}\x94" + key + "\x8c\x02nos(\x8c\x01l]h\x00a0000h\x00" + key + "\x8c\x01xs.", "x", nil},
		{"MEMOIZE counts entries", "}(" + key + "q\x05\x8c\x01x\x94h\x01u.", "", ErrMalformed},
		{"MEMOIZE numbers by count", "(" + key + "q\x05\x8c\x01x\x94h\x05h\x01d.", "x", nil},
		{"duplicated", key + "2d.", "", ErrMalformed},
		{"duplicated pair", "(" + key + "2d.", "object", nil},
		{"bytes", "}" + key + "C\x01xs.", "x", nil},
		{"bytes key", "}(C\x06object\x8c\x01a" + key + "\x8c\x01xu.", "x", nil},
		{"class instance", "\x80\x02}(\x8c\x01hcmod\nname\n)\x81}" + key + "\x8c\x02nosb" + key + "\x8c\x01xu.", "x", nil},
		{"call", "}(\x8c\x01h\x8c\x01m\x8c\x01n\x93" + key + "\x85R" + key + "\x8c\x01xu.", "x", nil},
		{"old style instance", "}(\x8c\x01h(imod\nname\n" + key + "\x8c\x01xu.", "x", nil},
		{"persistent", "}(\x8c\x01hPobject\n\x8c\x01iNQ" + key + "\x8c\x01xu.", "x", nil},
		{"call makes a key", "}(" + key + "\x8c\x01acm\nn\n)R\x8c\x01bu.", "", ErrMalformed},
		{"call makes the id", "}" + key + "cm\nn\n)Rs.", "", ErrNoObject},
		{"call makes the top", "cm\nn\n)R" + key + "\x8c\x01xs.", "", ErrNoObject},
		{"buffers", "}(\x8c\x01h\x97\x98\x8c\x01b\x96\x01\x00\x00\x00\x00\x00\x00\x00x" + key + "\x8c\x01xu.", "x", nil},
		{"numbers", "}(\x8c\x01h(I01\nI-5\nL12345L\nF1.5\nK1M12J1234G12345678\x8a\x00\x8a\x021l\x8b\x01\x00\x00\x001\x88\x89Nl" + key + "\x8c\x01xu.", "x", nil},
		{"containers", "}(\x8c\x01h(]N)\x8f(N\x90(N\x91N\x85NN\x86NNN\x87]Na](NNe(NtN00N(NN1t" + key + "\x8c\x01xu.", "x", nil},
		{"extension codes", "}(\x8c\x01h(\x821\x8312\x841234t" + key + "\x8c\x01xu.", "x", nil},
		{"after the end", "}" + key + "\x8c\x01xs.rubbish", "x", nil},
		{"surrogate", "}" + key + "\x8c\x03\xed\xa0\x80s.", "", ErrNoObject},
		{"no dict", "](" + key + "\x8c\x01xe.", "", ErrNoObject},
		{"no stop", "}" + key + "\x8c\x01xs", "", ErrMalformed},
		{"nothing to stop with", ".", "", ErrMalformed},
		{"below the mark", "}(" + key + "\x8c\x01xs.", "", ErrMalformed},
		{"item below the mark", "}" + key + "(\x8c\x01xs.", "", ErrMalformed},
		{"odd items", "}(" + key + "u.", "", ErrMalformed},
		{"no mark", "}" + key + "\x8c\x01xu.", "", ErrMalformed},
		{"unquoted string", "}S'object\nS'x'\ns.", "", ErrMalformed},
		{"unknown opcode", "}" + key + "\x8c\x01xs\xff.", "", ErrMalformed},
		{"protocol 6", "\x80\x06}" + key + "\x8c\x01xs.", "", ErrMalformed},
		{"frame too long", "\x95\xff\x00\x00\x00\x00\x00\x00\x00}" + key + "\x8c\x01xs.", "", ErrMalformed},
		{"frame ends inside an opcode", "\x95\x03\x00\x00\x00\x00\x00\x00\x00}" + key + "\x8c\x01xs.", "", ErrMalformed},
		{"frame in a frame", "\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x95\x01\x00\x00\x00\x00\x00\x00\x00}" + key + "\x8c\x01xs.", "", ErrMalformed},
		{"length beyond 63 bits", "}" + key + "\x8d\xff\xff\xff\xff\xff\xff\xff\xffxs.", "", ErrMalformed},
		{"memo index of 4e9", "}r\xff\xff\xff\xff" + key + "\x8c\x01xs.", "", ErrLimit},
		{"memo index in text", "}p99999999\n" + key + "\x8c\x01xs.", "", ErrLimit},
		{"memo index is no number", "}p-1\n" + key + "\x8c\x01xs.", "", ErrMalformed},
		{"nothing memorized", "}" + key + "h\x00s.", "", ErrMalformed},
	})
}

func TestUnknownFormat(t *testing.T) {
	for _, f := range []wire.Serializer{wire.UnknownSerializer, wire.Cloudpickle + 1} {
		if got, err := Object(f, false, []byte("{}"), Limits{}); !errors.Is(err, ErrMalformed) {
			t.Errorf("Object(%d) = %q, %v, want ErrMalformed", f, got, err)
		}
	}
}

func TestCompressed(t *testing.T) {
	good := `{"object": "x"}`
	corrupt := deflate(good)
	corrupt[len(corrupt)-1] ^= 1
	exact := good + strings.Repeat(" ", 1000-len(good))
	cases := []struct {
		name    string
		payload []byte
		err     error
	}{
		{"good", deflate(good), nil},
		{"data after", append(deflate(good), "rubbish"...), nil},
		{"of exactly the limit", deflate(exact), nil},
		{"one byte over the limit", deflate(exact + " "), ErrLimit},
		{"bomb", deflate(exact + strings.Repeat(" ", 1<<24)), ErrLimit},
		{"wrong sum", corrupt, ErrMalformed},
		{"truncated", deflate(good)[:10], ErrMalformed},
		{"not compressed", []byte(good), ErrMalformed},
		{"empty", nil, ErrMalformed},
		{"no object", deflate("{}"), ErrNoObject},
	}
	for range 2 { // a reader that has failed goes back into use
		for _, c := range cases {
			got, err := Object(wire.JSON, true, c.payload, Limits{Inflated: 1000})
			if !errors.Is(err, c.err) || err == nil && got != "x" {
				t.Errorf("%s: got %q, %v, want %v", c.name, got, err, c.err)
			}
		}
	}
}

func deflate(payload string) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write([]byte(payload))
	w.Close()
	return b.Bytes()
}

// Errors are logged, and the payload may hold passwords.
func TestErrorsDoNotQuote(t *testing.T) {
	for _, f := range formats {
		for _, s := range corpus(t, f) {
			for _, cut := range []int{len(s.Payload) / 2, len(s.Payload) - 1} {
				_, err := Object(f, s.Compressed, s.Payload[:cut], Limits{})
				if err != nil && len(err.Error()) > 120 {
					t.Errorf("%s: %v", s.Name, err)
				}
			}
		}
	}
}
