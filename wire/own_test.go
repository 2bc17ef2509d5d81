package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ownFile = "testdata/own.json"

// ownRow is a CONNECT, a PING, a call or an exception of ours, and what Pyro's own
// receiving side and serializer read in it. `go test -update` writes the message,
// generate.py the rest.
type ownRow struct {
	Name     string   `json:"name"`
	Protocol Dialect  `json:"protocol"`
	Message  hexBytes `json:"message"`
	Read     *ownRead `json:"read"`
}

type ownRead struct {
	Type         string            `json:"type"`
	SerializerID uint16            `json:"serializer_id"`
	Seq          uint16            `json:"seq"`
	Flags        []string          `json:"flags"`
	Correlation  string            `json:"correlation"`
	Data         string            `json:"data"`  // a PING's
	None         bool              `json:"none"`  // a RESULT is None
	Meta         map[string]string `json:"meta"`  // a CONNECTOK's, its lists' items joined by commas
	Dict         map[string]string `json:"dict"`  // a CONNECT's
	Call         []string          `json:"call"`  // an INVOKE's object and method; it has no arguments
	Class        string            `json:"class"` // an exception's
	Args         []string          `json:"args"`
}

type ownCase struct {
	name    string
	dialect Dialect
	message []byte
	want    ownRead
}

// ownTexts are what strings of ours are made of, and what becomes of them.
var ownTexts = []struct{ name, give, want string }{
	{"plain", "no endpoint in time", "no endpoint in time"},
	{"quotes", `it's a "back\slash" \n {}`, `it's a "back\slash" \n {}`},
	{"not ascii", "caf\u00e9 \u65e5\x00\n\x7f\xff", "caf? ?????"},
	{"long", strings.Repeat("long ", 100), strings.Repeat("long ", 100)},
	{"empty", "", ""},
	{"arrows", "A \u2192 B \u2192 A", "A \u2192 B \u2192 A"},
}

func ownCases() []ownCase {
	var cases []ownCase
	id := [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff}
	for _, d := range []Dialect{V48, V502} {
		for s := Serpent; s < numSerializers; s++ {
			number := d.SerializerID(s)
			if number == 0 {
				continue
			}
			add := func(name string, message []byte, want ownRead) {
				want.SerializerID = number
				if want.Flags == nil {
					want.Flags = []string{}
				}
				cases = append(cases, ownCase{fmt.Sprintf("%v %v %s", d, s, name), d, message, want})
			}
			for name, correlation := range map[string][16]byte{"": {}, " with id": id} {
				a := Answer{Dialect: d, Serializer: s, Seq: 0x5051, Correlation: correlation}
				want := ownRead{Type: "RESULT", Seq: a.Seq, None: true}
				if correlation != ([16]byte{}) {
					want.Correlation = fmt.Sprintf("%x", correlation)
				}
				add("None"+name, AppendNone(nil, a), want)
				want.Type, want.None = "CONNECTOK", false
				if d == V48 {
					want.Flags = []string{"MetaOnConnect"}
				}
				for members, meta := range map[string]map[string]string{
					"no":   {"handshake": "hello", "methods": "", "oneway": "", "attrs": ""},
					"some": {"handshake": "hello", "methods": "process_blob,caf?,it's", "oneway": "it's", "attrs": ""},
				} {
					w := Welcome{Answer: a}
					if members == "some" {
						w.Methods, w.Oneway = []string{"process_blob", "caf\u00e9", "it's"}, []string{"it's"}
					}
					want.Meta = meta
					add("CONNECTOK of "+members+" members"+name, AppendConnectOK(nil, w), want)
				}
			}
			add("PING", AppendPing(nil, d, s, 0x5049), ownRead{Type: "PING", Seq: 0x5049, Data: "ping"})
			if s == Serpent || s == JSON || s == Marshal || s == Msgpack {
				for _, text := range ownTexts {
					i := Invocation{Dialect: d, Serializer: s, Seq: 0x5050, Object: text.give, Method: "info " + text.give}
					add("INVOKE "+text.name, AppendInvoke(nil, i),
						ownRead{Type: "INVOKE", Seq: i.Seq, Call: []string{text.want, "info " + text.want}})
				}
			}
			for i, text := range ownTexts {
				if text.name == "arrows" && d == V48 && s == Pickle {
					// A failure on Python 2 is another, in ASCII.
					add("Python 2", AppendFailure(nil, Failure{Dialect: d, Serializer: s, Class: BuiltinTimeoutError, Text: text.give, Python2: true}),
						ownRead{Type: "RESULT", Flags: []string{"Exception"}, Class: "Pyro4.errors.PyroError", Args: []string{"A -> B -> A"}})
				}
				g := Greeting{Dialect: d, Serializer: s, Object: text.give, Handshake: "hello " + text.give}
				want := ownRead{Type: "CONNECT", Dict: map[string]string{"object": text.want, "handshake": "hello " + text.want}}
				if d == V48 {
					want.Flags = []string{"MetaOnConnect"}
				}
				add("CONNECT "+text.name, AppendConnect(nil, g), want)
				for class, name := range classNames {
					f := Failure{Dialect: d, Serializer: s, Seq: uint16(i) * 1000, Class: Class(class), Text: text.give}
					want := ownRead{
						Type: "RESULT", Seq: f.Seq, Flags: []string{"Exception"},
						Class: fmt.Sprintf("Pyro%d.errors.%s", map[Dialect]int{V48: 4, V502: 5}[d], name), Args: []string{text.want},
					}
					if Class(class) == BuiltinTimeoutError {
						name = "builtins." + name
						want.Class = name
					}
					if i%2 == 0 {
						f.Correlation = id
						want.Correlation = fmt.Sprintf("%x", id)
					}
					add(name+" "+text.name, AppendFailure(nil, f), want)
				}
			}
		}
	}
	return cases
}

// TestOwn: the bytes of our CONNECTs, PINGs, calls and exceptions are those that Pyro has
// read, and it read in them what we meant.
func TestOwn(t *testing.T) {
	cases := ownCases()
	if *update {
		writeOwn(t, cases)
		return
	}
	rows := make(map[string]ownRow)
	for _, row := range loadJSON[ownRow](t, ownFile) {
		rows[row.Name] = row
	}
	if len(rows) != len(cases) {
		t.Errorf("%s has %d messages, there are %d", ownFile, len(rows), len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			row := rows[c.name]
			if row.Read == nil {
				t.Fatal("Pyro has not read this message: run `go test -update` and testdata/generate.py")
			}
			if !bytes.Equal(c.message, row.Message) {
				t.Fatalf("wrote %x\nPyro has read %x\nrun `go test -update` and testdata/generate.py", c.message, row.Message)
			}
			if diff := cmp.Diff(c.want, *row.Read); diff != "" {
				t.Errorf("Pyro read something else (-want +got):\n%s", diff)
			}
		})
	}
}

func writeOwn(t *testing.T, cases []ownCase) {
	var rows []ownRow
	for _, c := range cases {
		rows = append(rows, ownRow{Name: c.name, Protocol: c.dialect, Message: c.message})
	}
	b, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ownFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestOwnAppends: what the buffer held stays.
func TestOwnAppends(t *testing.T) {
	before := []byte("before")
	for name, appendTo := range map[string]func(dst []byte) []byte{
		"CONNECT": func(dst []byte) []byte { return AppendConnect(dst, Greeting{Dialect: V502, Serializer: JSON}) },
		"PING":    func(dst []byte) []byte { return AppendPing(dst, V48, Marshal, 7) },
		"INVOKE":  func(dst []byte) []byte { return AppendInvoke(dst, Invocation{Dialect: V502, Serializer: Marshal}) },
		"None":    func(dst []byte) []byte { return AppendNone(dst, Answer{Dialect: V48, Serializer: Marshal}) },
		"CONNECTOK": func(dst []byte) []byte {
			return AppendConnectOK(dst, Welcome{Answer: Answer{Dialect: V502, Serializer: Msgpack}, Methods: []string{"m"}})
		},
		"failure": func(dst []byte) []byte { return AppendFailure(dst, Failure{Dialect: V48, Serializer: Pickle}) },
	} {
		if got, want := appendTo(bytes.Clone(before)), append(bytes.Clone(before), appendTo(nil)...); !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", name, got, want)
		}
	}
}
