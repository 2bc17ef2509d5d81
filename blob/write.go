package blob

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// AppendRetargeted appends to dst the annotation, with another object and method;
// an empty one stays as it is. The bytes of the info stay the same, and all in
// front of them, so that the references in it still mean what they did.
//
// The new strings are written in a form that every Python reads as text, and that
// nothing can refer to or from: 'u'. So are those that stay; only what Python 2
// wrote as a str that is not ASCII stays a str. What followed the tuple is gone.
func AppendRetargeted(dst, annotation []byte, object, method string) ([]byte, error) {
	c, err := Parse(annotation)
	if err != nil {
		return dst, err
	}
	return c.AppendRetargeted(dst, object, method)
}

// AppendRetargeted is the function of this name, for an annotation that has been
// parsed.
func (c Call) AppendRetargeted(dst []byte, object, method string) ([]byte, error) {
	size := len(dst)
	const around = 10 // the two names: a type and a length each
	dst = slices.Grow(dst, c.Info.end+max(len(c.Object), len(object))+max(len(c.Method), len(method))+around)
	dst = append(dst, c.Info.annotation[:c.Info.end]...)
	dst = appendName(dst, c.Object, c.objectBytes, object)
	dst = appendName(dst, c.Method, c.methodBytes, method)
	if n := len(dst) - size; n > MaxBytes {
		return dst[:size], fmt.Errorf("%w: %d bytes with another target", ErrLimit, n)
	}
	return dst, nil
}

// appendName marshals other, or old if other is empty.
func appendName(dst []byte, old string, oldIsBytes bool, other string) []byte {
	if other != "" {
		return appendText(dst, other)
	}
	at := len(dst)
	dst = appendText(dst, old)
	if oldIsBytes && !isASCII(old) {
		dst[at] = 's' // the two have the same form
	}
	return dst
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// AppendNew appends an annotation of our own to dst, in a form that every Python
// reads: for tests and benchmarks. The zero Scalar stands for None.
func AppendNew(dst []byte, info Scalar, object, method string) []byte {
	dst = binary.LittleEndian.AppendUint32(append(dst, '('), 3)
	dst = appendScalar(dst, info)
	dst = appendText(dst, object)
	return appendText(dst, method)
}
