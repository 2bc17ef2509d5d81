package wire

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func chunksOf(d Dialect, chunks ...Chunk) (b []byte) {
	for _, c := range chunks {
		b = AppendChunk(b, d, c)
	}
	return b
}

// TestMarked: a message with a marking says that, and for the rest what it said
// before.
func TestMarked(t *testing.T) {
	id, old := [16]byte{1, 2, 15: 9}, [16]byte{7, 15: 7}
	user := Chunk{ID: [4]byte{'U', 'S', 'E', 'R'}, Value: []byte("something")}
	corr := func(id [16]byte) Chunk { return Chunk{ID: ChunkCorrelation, Value: id[:]} }
	call := func(v string) Chunk { return Chunk{ID: ChunkCall, Value: []byte(v)} }
	full := Chunk{ID: user.ID, Value: make([]byte, maxAnnotations48-6-10)}
	for _, c := range []struct {
		name    string
		dialect Dialect
		chunks  []Chunk
		has     [16]byte // in the header
		give    Marking
		want    []Chunk
		wantID  [16]byte // in the header
	}{
		{"v502 id", V502, []Chunk{user}, [16]byte{}, Marking{Correlation: id}, []Chunk{user}, id},
		{"v502 chain", V502, []Chunk{user}, old, Marking{Chain: []byte("chain")}, []Chunk{user, call("chain")}, old},
		{"v502 other chain", V502, []Chunk{call("x"), user}, old, Marking{Chain: []byte("chain")}, []Chunk{user, call("chain")}, old},
		{"v502 both", V502, nil, [16]byte{}, Marking{Correlation: id, Chain: []byte("c")}, []Chunk{call("c")}, id},
		{"v502 neither", V502, []Chunk{call("x"), user}, old, Marking{}, []Chunk{call("x"), user}, old},
		{"v48 id", V48, []Chunk{user}, [16]byte{}, Marking{Correlation: id}, []Chunk{user, corr(id)}, [16]byte{}},
		{"v48 chain", V48, []Chunk{corr(old), call("x")}, [16]byte{}, Marking{Chain: []byte("c")}, []Chunk{corr(old), call("c")}, [16]byte{}},
		{"v48 no room for an id", V48, []Chunk{full}, [16]byte{}, Marking{Correlation: id}, []Chunk{full}, [16]byte{}},
		{"v48 room for a short chain only", V48, []Chunk{full}, [16]byte{}, Marking{Correlation: id, Chain: []byte("shrt")}, []Chunk{full, call("shrt")}, [16]byte{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			annotations := chunksOf(c.dialect, c.chunks...)
			data := []byte("payload")
			h := Head{
				Dialect: c.dialect, Type: Invoke, SerializerID: 1, Seq: 5,
				AnnotationsLen: uint32(len(annotations)), DataLen: uint32(len(data)), Correlation: c.has,
			}
			if c.has != [16]byte{} {
				h.Flags |= V502.Bit(HasCorrelation)
			}
			got := append(AppendMarked([]byte("before"), &h, annotations, c.give), data...)[len("before"):]
			head, err := ParseHead(got)
			if err != nil || head.Len() != int64(len(got)) {
				t.Fatalf("header %+v of %d bytes: %v", head, len(got), err)
			}
			want := h
			want.AnnotationsLen = uint32(len(chunksOf(c.dialect, c.want...)))
			if want.Correlation = c.wantID; c.wantID != [16]byte{} {
				want.Flags |= V502.Bit(HasCorrelation)
			}
			whole := append(append(AppendHead(nil, want), chunksOf(c.dialect, c.want...)...), data...)
			if diff := cmp.Diff(whole, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.dialect == V502 && c.give.Chain == nil && c.give.Correlation != [16]byte{} {
				message := append(append(AppendHead(nil, h), annotations...), data...)
				if MarkInPlace(message, c.give.Correlation); !bytes.Equal(message, got) {
					t.Errorf("in place:\n%x, want\n%x", message, got)
				}
			}
		})
	}
}

// TestReadMarks: what annotations say, and that they are whole.
func TestReadMarks(t *testing.T) {
	id := [16]byte{1, 2, 15: 9}
	corr := Chunk{ID: ChunkCorrelation, Value: id[:]}
	call := Chunk{ID: ChunkCall, Value: []byte("chain")}
	signature := Chunk{ID: ChunkHMAC, Value: make([]byte, 20)}
	for _, c := range []struct {
		name    string
		dialect Dialect
		chunks  []Chunk
		want    Marks
	}{
		{"nothing", V48, nil, Marks{}},
		{"v48", V48, []Chunk{signature, corr, call}, Marks{Correlation: id, HasCorrelation: true, Signed: true, Chain: []byte("chain")}},
		{"v48 short id", V48, []Chunk{{ID: ChunkCorrelation, Value: id[:15]}}, Marks{}},
		{"v502 knows neither chunk", V502, []Chunk{corr, signature}, Marks{}},
		{"v502", V502, []Chunk{call}, Marks{Chain: []byte("chain")}},
	} {
		annotations := chunksOf(c.dialect, c.chunks...)
		got, err := ReadMarks(&Head{Dialect: c.dialect}, annotations)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
		if len(annotations) > 0 {
			if _, err := ReadMarks(&Head{Dialect: c.dialect}, annotations[:len(annotations)-1]); err != ErrAnnotations {
				t.Errorf("%s, cut short: %v", c.name, err)
			}
		}
	}
}
