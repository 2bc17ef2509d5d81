package pyrotest

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

var update = flag.Bool("update", false, "write our encodings to testdata/encoded.json, for read.py to read")

// encodedRow is a value in one of our encodings. `go test -update` writes it,
// testdata/read.py what the real serializer makes of it.
type encodedRow struct {
	Name       string       `json:"name"`
	Protocol   wire.Dialect `json:"protocol"`
	Serializer string       `json:"serializer"`
	Hex        string       `json:"hex"`
	Read       string       `json:"read"` // Python's repr
}

// TestEncode: real Pyro has read exactly these bytes, as the values we meant.
func TestEncode(t *testing.T) {
	type variant struct {
		row  encodedRow
		want string
	}
	var variants []variant
	for _, d := range dialects {
		for s := wire.Serpent; s <= wire.Cloudpickle; s++ {
			if d.SerializerID(s) == 0 {
				continue
			}
			add := func(name string, data []byte, want string) {
				row := encodedRow{fmt.Sprintf("%v %v %s", d, s, name), d, s.String(), hex.EncodeToString(data), ""}
				variants = append(variants, variant{row, want})
			}
			tuples := `('x',), ()`
			if s == wire.JSON || s == wire.Msgpack {
				tuples = `['x'], []`
			}
			handshake := Dict{{"none", nil}, {"list", []any{true, false, Dict{}, []any{}, Tuple{"x"}, Tuple{}}}}
			text := "caf\u00e9 'it\"s' \\ <\n\t\x00\x7f"
			add("connect", ConnectMessage(d, s, text, handshake).Data,
				`{'handshake': {'none': None, 'list': [True, False, {}, [], `+tuples+`]}, 'object': 'café \'it"s\' \\ <\n\t\x00\x7f'}`)
			add("exception", ExceptionData(s, "what"), `ValueError('what')`)
		}
	}
	if *update {
		var rows []encodedRow
		for _, v := range variants {
			rows = append(rows, v.row)
		}
		b, err := json.Marshal(rows)
		noError(t, err)
		noError(t, os.WriteFile(encodedFile, b, 0o644))
		return
	}
	committed := readEncoded(t)
	for _, v := range variants {
		t.Run(v.row.Name, func(t *testing.T) {
			row := committed[v.row.Name]
			if row.Hex != v.row.Hex || row.Read == "" {
				t.Fatal("Pyro has not read this encoding: run `go test -update` and testdata/read.py")
			}
			if row.Read != v.want {
				t.Errorf("Pyro read %s\nwant      %s", row.Read, v.want)
			}
		})
	}
}

const encodedFile = "testdata/encoded.json"

func readEncoded(t *testing.T) map[string]encodedRow {
	b, err := os.ReadFile(encodedFile)
	noError(t, err)
	var rows []encodedRow
	noError(t, json.Unmarshal(b, &rows))
	byName := make(map[string]encodedRow)
	for _, row := range rows {
		byName[row.Name] = row
	}
	return byName
}

func TestMetadataOff(t *testing.T) {
	m := ConnectMessage(wire.V48, wire.JSON, "", "hello")
	if string(m.Data) != `{"handshake": "hello"}` || m.Head.Flags != 0 {
		t.Errorf("%s, flags %d", m.Data, m.Head.Flags)
	}
}
