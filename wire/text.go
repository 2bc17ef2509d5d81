package wire

import (
	"encoding/binary"
	"strings"
)

// AppendString appends text as the serializer's form of a string. Every
// version of Python that the serializer runs on reads these forms: marshal and
// the pickle family are written in version 2 of their formats. Characters
// outside printable ASCII become "?".
func AppendString(dst []byte, s Serializer, text string) []byte {
	dst = append(dst, prologue(s)...)
	dst = appendText(dst, s, strings.ReplaceAll(text, arrow, "->"))
	return append(dst, epilogue(s)...)
}

// dictForms is what stands around and between the items of a dict. Msgpack's
// beginning depends on the number of items, and is not here.
var dictForms = [numSerializers]struct{ begin, colon, comma, end string }{
	Serpent:     {"{", ":", ",", "}"},
	JSON:        {"{", ":", ",", "}"},
	Marshal:     {"{", "", "", "0"},
	Pickle:      {"}(", "", "", "u"}, // EMPTY_DICT, MARK; SETITEMS
	Dill:        {"}(", "", "", "u"},
	Cloudpickle: {"}(", "", "", "u"},
}

// appendDict appends a dict of at most 15 strings, keys first.
func appendDict(dst []byte, s Serializer, items [][2]string) []byte {
	form := dictForms[s]
	dst = append(dst, prologue(s)...)
	dst = append(dst, form.begin...)
	if s == Msgpack {
		dst = append(dst, 0x80|byte(len(items))) // fixmap
	}
	for i, item := range items {
		if i > 0 {
			dst = append(dst, form.comma...)
		}
		dst = appendText(dst, s, item[0])
		dst = append(dst, form.colon...)
		dst = appendText(dst, s, item[1])
	}
	dst = append(dst, form.end...)
	return append(dst, epilogue(s)...)
}

// prologue is what a whole payload of s begins with.
func prologue(s Serializer) string {
	switch s {
	case Serpent:
		return "# serpent utf-8 python3.2\n"
	case Pickle, Dill, Cloudpickle:
		return "\x80\x02" // PROTO 2
	}
	return ""
}

// epilogue is what a whole payload of s ends with.
func epilogue(s Serializer) string {
	switch s {
	case Pickle, Dill, Cloudpickle:
		return "." // STOP
	}
	return ""
}

// appendText appends a string as a part of a payload. Arrows are kept.
func appendText(dst []byte, s Serializer, text string) []byte {
	text = printable(text)
	n := uint32(len(text))
	switch s {
	case Serpent:
		return appendQuoted(dst, '\'', text)
	case JSON:
		return appendQuoted(dst, '"', text)
	case Pickle, Dill, Cloudpickle:
		dst = append(dst, 'X') // BINUNICODE
		dst = binary.LittleEndian.AppendUint32(dst, n)
		return append(dst, text...)
	case Msgpack:
		dst = append(dst, 0xdb) // str 32
		dst = binary.BigEndian.AppendUint32(dst, n)
		return append(dst, text...)
	default:
		dst = append(dst, 'u')
		dst = binary.LittleEndian.AppendUint32(dst, n)
		return append(dst, text...)
	}
}

// arrow is the one character outside ASCII that texts of ours use. It is the same
// in all serializers' strings, which are UTF-8.
const arrow = "\u2192"

// appendQuoted writes a printable text between quotes; a backslash escape of
// quote and backslash means the same in Python and in JSON.
func appendQuoted(dst []byte, quote byte, text string) []byte {
	dst = append(dst, quote)
	for i := range len(text) {
		if c := text[i]; c == quote || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, text[i])
	}
	return append(dst, quote)
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if (r < ' ' || r > '~') && string(r) != arrow {
			return '?'
		}
		return r
	}, text)
}
