package router

import (
	"slices"

	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// CallMatch is what a call must be like to take a route of its own, whatever its
// client was connected for. All conditions must be met.
type CallMatch struct {
	// Blob: only calls with a SerializedBlob.
	Blob        bool
	Fields      []FieldMatch // of the blob
	Annotations []AnnotationMatch
	NotMethods  []string // of the blob
}

// FieldMatch is a condition on what a blob's annotation says; any value is enough.
type FieldMatch struct {
	Field   Field
	Path    blob.Path // of InfoField
	Globs   []Glob
	Numbers []blob.Scalar
}

// Field is a part of what a blob's annotation says.
type Field uint8

// The fields.
const (
	InfoField Field = iota
	ObjectField
	MethodField
)

// AnnotationMatch is a condition on the value of an annotation; any glob is enough.
type AnnotationMatch struct {
	ID    [4]byte
	Globs []Glob
}

// matches reports whether a call with these annotations, and that blob where it has
// one, meets all conditions.
func (m *CallMatch) matches(h *wire.Head, annotations []byte, b *blob.Call) bool {
	if (m.Blob || len(m.Fields) > 0) && b == nil {
		return false
	}
	for i := range m.Fields {
		if !m.Fields[i].matches(b) {
			return false
		}
	}
	if b != nil && slices.Contains(m.NotMethods, b.Method) {
		return false
	}
	for i := range m.Annotations {
		if !m.Annotations[i].matches(h.Dialect, annotations) {
			return false
		}
	}
	return true
}

func (m *FieldMatch) matches(b *blob.Call) bool {
	switch m.Field {
	case ObjectField:
		return anyGlob(m.Globs, b.Object)
	case MethodField:
		return anyGlob(m.Globs, b.Method)
	}
	v, ok := b.Info.At(m.Path)
	if !ok {
		return false
	}
	if v.Kind == blob.Number {
		return slices.Contains(m.Numbers, v)
	}
	return anyGlob(m.Globs, v.Text)
}

func (m *AnnotationMatch) matches(d wire.Dialect, annotations []byte) bool {
	for len(annotations) > 0 {
		c, rest, err := wire.NextChunk(d, annotations)
		if err != nil {
			return false
		}
		if c.ID == m.ID && anyGlob(m.Globs, string(c.Value)) {
			return true
		}
		annotations = rest
	}
	return false
}

func anyGlob(globs []Glob, text string) bool {
	return slices.ContainsFunc(globs, func(g Glob) bool { return g.Match(text) })
}

// FindCall returns the first route of calls that matches a call of the client q, with
// header h and these annotations; nil where none does. value is that of its blob
// annotation, nil where it has none. The error is that it cannot be read, and a route
// goes by it.
func (t *Table) FindCall(q *Request, h *wire.Head, annotations, value []byte) (*Route, error) {
	var parsed blob.Call
	var b *blob.Call // parsed, once a route wants it
	for _, r := range t.calls {
		if !r.matches(q) {
			continue
		}
		if value != nil && b == nil && r.Call.looksAtBlobs() {
			var err error
			if parsed, err = blob.Parse(value); err != nil {
				return nil, err
			}
			b = &parsed
		}
		if r.Call.matches(h, annotations, b) {
			return r, nil
		}
	}
	return nil, nil
}

func (m *CallMatch) looksAtBlobs() bool {
	return m.Blob || len(m.Fields) > 0 || len(m.NotMethods) > 0
}

// blobOf finds the value of the blob annotation, the last one as a daemon does, nil where
// there is none.
func blobOf(h *wire.Head, annotations []byte) (value []byte) {
	for len(annotations) > 0 {
		c, rest, err := wire.NextChunk(h.Dialect, annotations)
		if err != nil {
			return nil
		}
		if c.ID == wire.ChunkBlob {
			value = c.Value
		}
		annotations = rest
	}
	return value
}
