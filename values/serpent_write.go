package values

import (
	"encoding/base64"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// serpentHeader is what serpent.py's serialize begins with. It says how the text is
// encoded and that it may have set literals.
const serpentHeader = "# serpent utf-8 python3.2\n"

// serpent appends a plain value as serpent.py does, without indentation.
func (w *writer) serpent(v Value) error {
	switch v := v.(type) {
	case nil:
		w.dst = append(w.dst, "None"...)
	case bool:
		if v {
			w.dst = append(w.dst, "True"...)
		} else {
			w.dst = append(w.dst, "False"...)
		}
	case int64:
		w.dst = strconv.AppendInt(w.dst, v, 10)
	case *big.Int:
		w.dst = v.Append(w.dst, 10)
	case float64:
		if w.keys > 0 && math.IsNaN(v) {
			return w.unsupported(v)
		}
		w.serpentFloat(v)
	case complex128:
		if w.keys > 0 && (math.IsNaN(real(v)) || math.IsNaN(imag(v))) {
			return w.unsupported(v)
		}
		w.serpentComplex(v)
	case string:
		if !isText(v) {
			return w.unsupported(v)
		}
		w.serpentText(v)
	case []byte:
		if w.keys > 0 {
			w.dst = appendBytesLiteral(w.dst, v)
			return nil
		}
		w.dst = append(w.dst, "{'data': '"...)
		w.dst = base64.StdEncoding.AppendEncode(w.dst, v)
		w.dst = append(w.dst, "', 'encoding': 'base64'}"...)
	case Tuple:
		return w.serpentTuple(v)
	case List:
		w.dst = append(w.dst, '[')
		if err := w.items(v, ",", w.value); err != nil {
			return err
		}
		w.dst = append(w.dst, ']')
	case Set:
		if len(v) == 0 {
			return w.serpentTuple(nil) // there is no literal for it
		}
		if w.keys > 0 {
			return w.unsupported(v)
		}
		w.dst = append(w.dst, '{')
		if err := w.items(v, ",", w.key); err != nil {
			return err
		}
		w.dst = append(w.dst, '}')
	case Dict:
		w.dst = append(w.dst, '{')
		if err := w.pairs(v, ":", ",", w.key); err != nil {
			return err
		}
		w.dst = append(w.dst, '}')
	default:
		return w.unsupported(v)
	}
	return nil
}

func (w *writer) serpentTuple(items Tuple) error {
	w.dst = append(w.dst, '(')
	if err := w.items(items, ",", w.value); err != nil {
		return err
	}
	if len(items) == 1 {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(w.dst, ')')
	return nil
}

// serpentFloat: infinity is a number that overflows, and for NaN there is no literal.
func (w *writer) serpentFloat(f float64) {
	switch {
	case math.IsNaN(f):
		w.dst = append(w.dst, "{'__class__':'float','value':'nan'}"...)
	case math.IsInf(f, 1):
		w.dst = append(w.dst, "1e30000"...)
	case math.IsInf(f, -1):
		w.dst = append(w.dst, "-1e30000"...)
	default:
		w.dst = appendFloat(w.dst, f)
	}
}

func (w *writer) serpentComplex(c complex128) {
	if math.IsNaN(real(c)) || math.IsNaN(imag(c)) {
		w.dst = append(w.dst, "{'__class__':'complex','real':"...)
		w.serpentFloat(real(c))
		w.dst = append(w.dst, ",'imag':"...)
		w.serpentFloat(imag(c))
		w.dst = append(w.dst, '}')
		return
	}
	w.dst = append(w.dst, '(')
	w.serpentFloat(real(c))
	if !math.Signbit(imag(c)) {
		w.dst = append(w.dst, '+')
	}
	w.serpentFloat(imag(c))
	w.dst = append(w.dst, "j)"...)
}

// serpentText appends s as repr does.
func (w *writer) serpentText(s string) {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	w.dst = append(w.dst, quote)
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if half, ok := surrogate(s); ok {
			r, size = half, 3
		}
		switch {
		case r == rune(quote) || r == '\\':
			w.dst = append(w.dst, '\\', byte(r))
		case r == '\n':
			w.dst = append(w.dst, `\n`...)
		case r == '\r':
			w.dst = append(w.dst, `\r`...)
		case r == '\t':
			w.dst = append(w.dst, `\t`...)
		case strconv.IsPrint(r):
			w.dst = append(w.dst, s[:size]...)
		case r <= 0xff:
			w.dst = appendEscaped(w.dst, 'x', 2, r)
		case r <= 0xffff:
			w.dst = appendEscaped(w.dst, 'u', 4, r)
		default:
			w.dst = appendEscaped(w.dst, 'U', 8, r)
		}
		s = s[size:]
	}
	w.dst = append(w.dst, quote)
}

// appendBytesLiteral appends b'...', which only Python 3 tells from a string.
func appendBytesLiteral(dst, data []byte) []byte {
	dst = append(dst, "b'"...)
	for _, c := range data {
		switch {
		case c == '\'' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c > '~':
			dst = appendEscaped(dst, 'x', 2, rune(c))
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '\'')
}
