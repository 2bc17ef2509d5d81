package blob

import "github.com/pyro-dispatch/pyro-dispatch/pymarshal"

// Info gives what makes the info in annotation, the value of a BLBI chunk, equal
// to another: the text of a string, and otherwise a marshalled form. ok is
// false where the annotation cannot be read that far; the object and the method
// are not looked at. The bytes are a part of annotation, or of a copy.
//
// Equal strings give equal bytes, whichever Python wrote them, and so do equal
// numbers. Of tuples and other containers that is so for one program only: marshal
// may write the same value in several ways.
func Info(annotation []byte) (info []byte, ok bool) {
	r := pymarshal.NewReader(annotation, limits)
	head, err := r.Next()
	if err != nil || head.Kind != pymarshal.Tuple || head.Len != 3 {
		return nil, false
	}
	start := r.Offset()
	v, err := r.Next()
	if err != nil {
		return nil, false
	}
	if v.Kind == pymarshal.Text || v.Kind == pymarshal.Bytes {
		return v.Data, true
	}
	if number, ok := scalarOf(v); ok {
		return appendScalar(nil, number), true
	}
	if err := r.Skip(v); err != nil {
		return nil, false
	}
	// The top bit of the first byte says only that the value may be referred to.
	const mayBeReferredTo = 0x80
	form := append([]byte(nil), annotation[start:r.Offset()]...)
	form[0] &^= mayBeReferredTo
	return form, true
}
