// Package blob reads the BLBI annotation of a SerializedBlob call, which says
// what the call is about without its payload being read, and writes it anew for
// another object or method: marshal.dumps((info, objectId, method)), as
// Pyro4/core.py and Pyro5/client.py write it.
//
// It reads annotations only, never payloads, and builds no Python values. What it
// takes, the marshal.loads of some Python takes: which one a daemon has, nobody
// knows here.
package blob

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/pyro-dispatch/pyro-dispatch/pymarshal"
)

// MaxBytes is the size of the largest annotation that Parse takes: what the
// 16-bit length of a version 48 chunk allows.
const MaxBytes = 1<<16 - 1

// limits is more than an info that is worth routing by can need.
var limits = pymarshal.Limits{Depth: 100, Items: 10_000}

// Errors that Parse wraps.
var (
	// ErrMalformed: a daemon could not read the annotation, or it is not that of
	// a blob.
	ErrMalformed = errors.New("malformed blob annotation")
	// ErrLimit: the annotation is larger or deeper than is allowed here; it may be
	// well formed.
	ErrLimit = errors.New("blob annotation exceeds a limit")
)

// Call is what a blob's annotation says. All of it is a part of the annotation's
// memory, strings included: it is good as long as that is not changed, and what
// has to last longer is to be cloned.
type Call struct {
	Info Value
	// Object and Method are UTF-8, in which Python also lets single surrogates
	// through, or the bytes of a str of Python 2.
	Object, Method string

	objectBytes, methodBytes bool // they are a str of Python 2, or a bytes
}

// Value is the info of a blob.
type Value struct {
	annotation []byte
	start, end int  // of the info
	tupleEnd   int  // where the method ends
	refs       bool // there are references in the tuple
}

// Parse reads annotation, the value of a BLBI chunk, of at most MaxBytes. What
// follows the tuple does not count, as it does not for marshal.loads.
func Parse(annotation []byte) (Call, error) { return ParseLimit(annotation, MaxBytes) }

// ParseLimit is Parse with another limit to the size.
func ParseLimit(annotation []byte, maxBytes int) (Call, error) {
	if len(annotation) > maxBytes {
		return Call{}, fmt.Errorf("%w: %d bytes", ErrLimit, len(annotation))
	}
	c := pymarshal.NewChecker(annotation, limits)
	head, err := c.Next()
	switch {
	case err != nil:
		return Call{}, badly("the tuple", err)
	case head.Kind != pymarshal.Tuple || head.Len != 3:
		return Call{}, fmt.Errorf("%w: not a tuple of info, object and method", ErrMalformed)
	}
	info := Value{annotation: annotation, start: c.Offset()}
	v, err := c.Next()
	if err == nil {
		err = c.Skip(v)
	}
	if err != nil {
		return Call{}, badly("the info", err)
	}
	info.end = c.Offset()
	call := Call{Info: info}
	if call.Object, call.objectBytes, err = text(&c, "the object"); err != nil {
		return Call{}, err
	}
	if call.Method, call.methodBytes, err = text(&c, "the method"); err != nil {
		return Call{}, err
	}
	call.Info.tupleEnd, call.Info.refs = c.Offset(), c.HasRefs()
	return call, nil
}

func text(c *pymarshal.Checker, what string) (s string, isBytes bool, err error) {
	v, err := c.Next()
	switch {
	case err != nil:
		return "", false, badly(what, err)
	case v.Kind != pymarshal.Text && v.Kind != pymarshal.Bytes:
		return "", false, fmt.Errorf("%w: %s is not text", ErrMalformed, what)
	}
	return unsafe.String(unsafe.SliceData(v.Data), len(v.Data)), v.Kind == pymarshal.Bytes, nil
}

// badly puts an error of package pymarshal into this package's terms.
func badly(what string, err error) error {
	if errors.Is(err, pymarshal.ErrLimit) {
		return fmt.Errorf("%w: in %s: %w", ErrLimit, what, err)
	}
	return fmt.Errorf("%w: in %s: %w", ErrMalformed, what, err)
}
