package handshake

import (
	"errors"
	"fmt"

	"github.com/pyro-dispatch/pyro-dispatch/pymarshal"
)

// marshalObject reads a marshalled dict. Like marshal.loads it ignores what follows.
func marshalObject(data []byte, lim Limits) (string, error) {
	// The dict itself is one level, which Skip does not see.
	r := pymarshal.NewReader(data, pymarshal.Limits{Depth: lim.Depth - 1, Items: lim.Items})
	v, err := marshalBinding(&r)
	if err != nil {
		return "", marshalError(err)
	}
	return id(v.raw)
}

func marshalBinding(r *pymarshal.Reader) (token, error) {
	top, err := r.Next()
	if err != nil {
		return token{}, err
	}
	if top.Kind != pymarshal.Dict {
		if err := r.Skip(top); err != nil {
			return token{}, err
		}
		return token{}, ErrNoObject
	}
	var object binding
	for {
		key, err := r.Next()
		if err != nil {
			return token{}, err
		}
		if key.Kind == pymarshal.End {
			return object.bound()
		}
		if err := r.Skip(key); err != nil {
			return token{}, err
		}
		value, err := r.Next()
		if err != nil {
			return token{}, err
		}
		if err := r.Skip(value); err != nil {
			return token{}, err
		}
		if k := marshalToken(key); k.kind != other && string(k.raw) == objectKey {
			object.bind(k.kind, marshalToken(value))
		}
	}
}

// marshalToken keeps of v what the binding needs.
func marshalToken(v pymarshal.Value) token {
	switch v.Kind {
	case pymarshal.Text:
		return token{kind: text, raw: v.Data}
	case pymarshal.Bytes:
		return token{kind: octets, raw: v.Data}
	}
	return token{}
}

// marshalError puts an error of package pymarshal into this package's terms.
func marshalError(err error) error {
	switch {
	case errors.Is(err, pymarshal.ErrLimit):
		return fmt.Errorf("%w: %w", ErrLimit, err)
	case errors.Is(err, pymarshal.ErrMalformed):
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return err
}
