package values

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// json appends a plain value as Python's json.dumps(ensure_ascii=False) does.
func (w *writer) json(v Value) error {
	switch v := v.(type) {
	case nil:
		w.dst = append(w.dst, "null"...)
	case bool:
		w.dst = strconv.AppendBool(w.dst, v)
	case int64:
		w.dst = strconv.AppendInt(w.dst, v, 10)
	case *big.Int:
		w.dst = v.Append(w.dst, 10)
	case float64:
		switch {
		case math.IsNaN(v):
			w.dst = append(w.dst, "NaN"...)
		case math.IsInf(v, 1):
			w.dst = append(w.dst, "Infinity"...)
		case math.IsInf(v, -1):
			w.dst = append(w.dst, "-Infinity"...)
		default:
			w.dst = appendFloat(w.dst, v)
		}
	case string:
		if !isText(v) {
			return w.unsupported(v)
		}
		w.jsonText(v)
	case Tuple:
		return w.json(List(v))
	case Set:
		return w.json(List(v))
	case List:
		w.dst = append(w.dst, '[')
		if err := w.items(v, ", ", w.value); err != nil {
			return err
		}
		w.dst = append(w.dst, ']')
	case Dict:
		w.dst = append(w.dst, '{')
		if err := w.pairs(v, ": ", ", ", w.jsonKey); err != nil {
			return err
		}
		w.dst = append(w.dst, '}')
	default:
		return w.unsupported(v)
	}
	return nil
}

// jsonKey appends the key of a dict: what is no string becomes one.
func (w *writer) jsonKey(v Value) error {
	switch v.(type) {
	case string:
		return w.value(v)
	case nil, bool, int, int64, *big.Int, float64:
		w.dst = append(w.dst, '"')
		if err := w.value(v); err != nil {
			return err
		}
		w.dst = append(w.dst, '"')
		return nil
	}
	return w.unsupported(v)
}

func (w *writer) jsonText(s string) {
	w.dst = append(w.dst, '"')
	for len(s) > 0 {
		c, size := s[0], 1
		switch {
		case c == '"' || c == '\\':
			w.dst = append(w.dst, '\\', c)
		case c == '\n':
			w.dst = append(w.dst, `\n`...)
		case c == '\r':
			w.dst = append(w.dst, `\r`...)
		case c == '\t':
			w.dst = append(w.dst, `\t`...)
		case c == '\f':
			w.dst = append(w.dst, `\f`...)
		case c == '\b':
			w.dst = append(w.dst, `\b`...)
		case c < ' ':
			w.dst = appendEscaped(w.dst, 'u', 4, rune(c))
		default:
			// Python would fail to encode a single surrogate. Every JSON reads it escaped.
			if half, ok := surrogate(s); ok {
				w.dst = appendEscaped(w.dst, 'u', 4, half)
				size = 3
			} else {
				w.dst = append(w.dst, c)
			}
		}
		s = s[size:]
	}
	w.dst = append(w.dst, '"')
}

// jsonReader reads what Python's json.loads does. encoding/json knows neither its NaN
// and Infinity, nor single surrogates.
type jsonReader struct {
	data []byte
	pos  int
	b    *budget
}

func readJSON(data []byte, b *budget) (Value, error) {
	r := jsonReader{data: data, b: b}
	if !utf8.Valid(data) {
		return nil, r.malformed("text that is not UTF-8")
	}
	r.space()
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if r.space(); r.pos < len(r.data) {
		return nil, r.malformed("more behind the value")
	}
	return v, nil
}

// malformed never quotes the input: it is the client's.
func (r *jsonReader) malformed(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrMalformed, what, r.pos)
}

func (r *jsonReader) space() {
	for r.pos < len(r.data) {
		switch r.data[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

func (r *jsonReader) peek() byte {
	if r.pos < len(r.data) {
		return r.data[r.pos]
	}
	return 0
}

func (r *jsonReader) take(text string) bool {
	if len(r.data)-r.pos < len(text) || string(r.data[r.pos:r.pos+len(text)]) != text {
		return false
	}
	r.pos += len(text)
	return true
}
