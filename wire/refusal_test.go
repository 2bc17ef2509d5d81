package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

const refusalsFile = "testdata/refusals.json"

// refusalRow is a CONNECTFAIL of ours, and what Pyro's own receiving side and
// serializer read in it. `go test -update` writes the message, generate.py the
// rest.
type refusalRow struct {
	Name     string   `json:"name"`
	Protocol Dialect  `json:"protocol"`
	Message  hexBytes `json:"message"`
	Read     *struct {
		Type         string   `json:"type"`
		SerializerID uint16   `json:"serializer_id"`
		Seq          uint16   `json:"seq"`
		Correlation  hexBytes `json:"correlation"`
		Text         string   `json:"text"`
	} `json:"read"`
}

type refusalCase struct {
	name    string
	refusal Refusal
	text    string     // what a client is to see
	by      Serializer // in which format
}

func refusalCases() []refusalCase {
	id := [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff}
	texts := []struct{ name, give, want string }{
		{"plain", "no route for object cam.1", "no route for object cam.1"},
		{"quotes", `it's a "back\slash" \n {}`, `it's a "back\slash" \n {}`},
		{"not ascii", "caf\u00e9 \u65e5\x00\n\x7f\xff", "caf? ?????"},
		{"long", strings.Repeat("long ", 100), strings.Repeat("long ", 100)},
		{"empty", "", ""},
	}
	var cases []refusalCase
	for _, d := range []Dialect{V48, V502} {
		for s := range numSerializers {
			by := s
			if d.SerializerID(s) == 0 {
				by = Marshal
			}
			for i, text := range texts {
				r := Refusal{Dialect: d, Serializer: s, Seq: uint16(i) * 1000, Text: text.give}
				if i%2 == 0 {
					r.Correlation = id
				}
				cases = append(cases, refusalCase{fmt.Sprintf("%v %v %s", d, s, text.name), r, text.want, by})
			}
		}
	}
	return cases
}

// TestRefusals: the bytes of every refusal are those that Pyro has read, and
// it read in them what we meant.
func TestRefusals(t *testing.T) {
	cases := refusalCases()
	if *update {
		writeRefusals(t, cases)
		return
	}
	rows := make(map[string]refusalRow)
	for _, row := range loadJSON[refusalRow](t, refusalsFile) {
		rows[row.Name] = row
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			row := rows[c.name]
			if row.Read == nil {
				t.Fatal("Pyro has not read this refusal: run `go test -update` and testdata/generate.py")
			}
			got := AppendConnectFail(nil, c.refusal)
			if !bytes.Equal(got, row.Message) {
				t.Fatalf("wrote %x\nPyro has read %x\nrun `go test -update` and testdata/generate.py", got, row.Message)
			}
			if row.Read.Type != "CONNECTFAIL" || row.Read.Seq != c.refusal.Seq || row.Read.Text != c.text {
				t.Errorf("Pyro read %+v", row.Read)
			}
			if want := c.refusal.Dialect.SerializerID(c.by); row.Read.SerializerID != want {
				t.Errorf("serializer %d, want %d (%v)", row.Read.SerializerID, want, c.by)
			}
			var id [16]byte
			copy(id[:], row.Read.Correlation)
			if id != c.refusal.Correlation {
				t.Errorf("Pyro read the correlation id %x", id)
			}
		})
	}
}

func writeRefusals(t *testing.T, cases []refusalCase) {
	var rows []refusalRow
	for _, c := range cases {
		rows = append(rows, refusalRow{Name: c.name, Protocol: c.refusal.Dialect, Message: AppendConnectFail(nil, c.refusal)})
	}
	b, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(refusalsFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A refusal is appended: what the buffer held stays.
func TestAppendConnectFailAppends(t *testing.T) {
	r := Refusal{Dialect: V502, Text: "no"}
	got := AppendConnectFail([]byte("before"), r)
	if want := append([]byte("before"), AppendConnectFail(nil, r)...); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// TestUnknownObject: what a daemon says of an object that it lacks, as CPython's
// serializers write it, is told from refusals that only have the words.
func TestUnknownObject(t *testing.T) {
	for payload, want := range map[string]bool{
		"# serpent utf-8 python3.2\n'unknown object'": true,
		`"unknown object"`:                            true, // json
		"\xfa\x0eunknown object":                      true, // marshal, 3.4 and later
		"\xf5\x0e\x00\x00\x00unknown object":          true,
		"u\x0e\x00\x00\x00unknown object":             true,
		"\xaeunknown object":                          true, // msgpack
		"\x80\x05\x95\x12\x00\x00\x00\x00\x00\x00\x00\x8c\x0eunknown object\x94.": true,
		"\x80\x02X\x0e\x00\x00\x00unknown objectq\x00.":                           true,
		"\x80\x02U\x0eunknown objectq\x00.":                                       true, // Python 2

		"":               false,
		"unknown object": false, // in no serializer
		"# serpent utf-8 python3.2\n'no free workers'":        false,
		"# serpent utf-8 python3.2\n'no, unknown object'":     false,
		"# serpent utf-8 python3.2\n'unknown object: x'":      false,
		"# serpent utf-8 python3.2\n\"say 'unknown object'\"": false,
		`"unknown object, or not yours"`:                      false,
		"\xfa\x13who? unknown object":                         false,
		"u\x12\x00\x00\x00unknown object: no":                 false,
		"\xb2unknown object: no":                              false,
	} {
		if got := UnknownObject([]byte(payload)); got != want {
			t.Errorf("%q: %v", payload, got)
		}
	}
}
