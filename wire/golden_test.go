package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write our messages to testdata, for generate.py to read")

// hexBytes are bytes that stand as hexadecimal digits in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// golden is a message that a Pyro library encoded, and what it was asked for.
// testdata/generate.py writes it.
type golden struct {
	Name         string
	Protocol     Dialect
	Type         string
	Serializer   string
	SerializerID uint16 `json:"serializer_id"`
	Flags        []string
	Seq          uint16
	Annotations  [][2]string
	Correlation  hexBytes
	HMAC         bool
	Data         hexBytes // empty where the message is compressed
	Message      hexBytes
}

// flagNames gives Flag the names that the golden files use.
var flagNames = [numFlags]string{
	Exception: "Exception", Compressed: "Compressed", Oneway: "Oneway", Batch: "Batch", ItemStream: "ItemStream",
	KeepSerialized: "KeepSerialized", MetaOnConnect: "MetaOnConnect", HasCorrelation: "HasCorrelation",
}

// loadJSON fails the test for a file that is missing or holds no messages.
func loadJSON[T any](tb testing.TB, path string) []T {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var rows []T
	if err := json.Unmarshal(b, &rows); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	if len(rows) == 0 {
		tb.Fatalf("%s is empty: write it with testdata/generate.py", path)
	}
	return rows
}

func loadGolden(tb testing.TB) []golden {
	tb.Helper()
	return loadJSON[golden](tb, "testdata/golden.json")
}

func TestGolden(t *testing.T) {
	seen := make(map[Dialect]int)
	for _, g := range loadGolden(t) {
		seen[g.Protocol]++
		t.Run(g.Name, func(t *testing.T) { checkGolden(t, g) })
	}
	if seen[V48] == 0 || seen[V502] == 0 {
		t.Fatalf("a dialect is missing: %v", seen)
	}
}

func checkGolden(t *testing.T, g golden) {
	h, err := ParseHead(g.Message)
	if err != nil {
		t.Fatal(err)
	}
	if h.Dialect != g.Protocol || h.Type.String() != g.Type || h.Seq != g.Seq {
		t.Errorf("read %v %v seq %d", h.Dialect, h.Type, h.Seq)
	}
	if h.SerializerID != g.SerializerID || h.Serializer().String() != g.Serializer {
		t.Errorf("read serializer %d, %v", h.SerializerID, h.Serializer())
	}
	if h.Len() != int64(len(g.Message)) {
		t.Fatalf("the message has %d bytes, its header says %d", len(g.Message), h.Len())
	}
	if diff := cmp.Diff(wantFlags(g), flagsOf(&h)); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}

	if again := AppendHead(nil, h); !bytes.Equal(again, g.Message[:h.Dialect.HeadLen()]) {
		t.Errorf("header re-encoded as %x", again)
	}

	body := g.Message[h.Dialect.HeadLen():]
	annotations, data := body[:h.AnnotationsLen], body[h.AnnotationsLen:]
	if !h.Has(Compressed) && !bytes.Equal(data, g.Data) {
		t.Errorf("data is %q", data)
	}
	checkGoldenChunks(t, g, annotations)

	id, ok, err := Correlation(&h, annotations)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(g.Correlation) > 0; ok != want || ok && !bytes.Equal(id[:], g.Correlation) {
		t.Errorf("correlation id %x, %v", id, ok)
	}
}

// wantFlags is what the header must show: Pyro5 sets one more flag by itself.
func wantFlags(g golden) []string {
	want := slices.Clone(g.Flags)
	if g.Protocol == V502 && len(g.Correlation) > 0 {
		want = append(want, "HasCorrelation")
	}
	slices.Sort(want)
	return want
}

func flagsOf(h *Head) []string {
	names := []string{}
	for f := range numFlags {
		if h.Has(f) {
			names = append(names, flagNames[f])
		}
	}
	slices.Sort(names)
	return names
}

// checkGoldenChunks compares the chunks, but for those that the library made
// of the message's other fields.
func checkGoldenChunks(t *testing.T, g golden, annotations []byte) {
	t.Helper()
	got := [][2]string{}
	signed := false
	for rest := annotations; len(rest) > 0; {
		c, r, err := NextChunk(g.Protocol, rest)
		if err != nil {
			t.Fatal(err)
		}
		rest = r
		switch c.ID {
		case ChunkHMAC:
			signed = true
		case ChunkCorrelation:
		default:
			got = append(got, [2]string{string(c.ID[:]), hex.EncodeToString(c.Value)})
		}
	}
	if diff := cmp.Diff(g.Annotations, got); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if signed != g.HMAC {
		t.Errorf("HMAC chunk: %v", signed)
	}
}
