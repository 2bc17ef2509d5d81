// Package blob reads the BLBI annotation of a SerializedBlob call, which says
// what the call is about without its payload being read:
// marshal.dumps((info, objectId, method)), as Pyro4/core.py and Pyro5/client.py
// write it.
//
// It reads annotations only, never payloads, and builds no Python values.
package blob

import "github.com/pyro-dispatch/pyro-dispatch/pymarshal"

// limits is more than an info that is worth routing by can need.
var limits = pymarshal.Limits{Depth: 100, Items: 10_000}

// Info gives what makes the info in annotation, the value of a BLBI chunk, equal
// to another: the text of a string, and otherwise its marshalled form. ok is
// false where the annotation cannot be read. The bytes are a part of annotation,
// or of a copy.
//
// Equal strings give equal bytes, whichever Python wrote them, and so do equal
// numbers, apart from whole ones beyond 32 bits, which Python 2 writes in a way of
// its own. Of tuples and other containers that is so for one program only: marshal
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
	if err := r.Skip(v); err != nil {
		return nil, false
	}
	// The top bit of the first byte says only that the value may be referred to.
	const mayBeReferredTo = 0x80
	form := append([]byte(nil), annotation[start:r.Offset()]...)
	form[0] &^= mayBeReferredTo
	return form, true
}
