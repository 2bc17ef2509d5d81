package values

import (
	"fmt"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Call is what an INVOKE's payload says: dumpsCall of both libraries' serializers.
type Call struct {
	Object string
	Method string
	Args   []Value
	Kwargs Dict // keys are strings
}

// AppendCall appends a call's payload as the dialect's library writes it (dumpsCall),
// under the rules of Append.
func (c Codec) AppendCall(dst []byte, call Call) ([]byte, error) {
	kwargs := call.Kwargs
	if kwargs == nil {
		kwargs = Dict{}
	}
	switch c.serializer {
	case wire.JSON:
		return c.Append(dst, Dict{
			{"object", call.Object}, {"method", call.Method}, {"params", Tuple(call.Args)}, {"kwargs", kwargs},
		})
	case wire.Marshal:
		return c.Append(dst, Tuple{call.Object, call.Method, List(call.Args), kwargs})
	}
	return c.Append(dst, Tuple{call.Object, call.Method, Tuple(call.Args), kwargs})
}

// DecodeCall reads a call's payload (loadsCall), under the rules of Decode.
func (c Codec) DecodeCall(data []byte, lim Limits) (Call, error) {
	v, err := c.Decode(data, lim)
	if err != nil {
		return Call{}, err
	}
	parts, ok := sequence(v)
	if c.serializer == wire.JSON {
		parts, ok = jsonCall(v)
	}
	if !ok || len(parts) != 4 {
		return Call{}, fmt.Errorf("%w: no call", ErrMalformed)
	}
	var call Call
	if call.Object, ok = Text(parts[0]); !ok {
		return Call{}, fmt.Errorf("%w: object that is no string", ErrMalformed)
	}
	return call.complete(parts[1], parts[2], parts[3])
}

// jsonCall gives the parts in the order in which the others have them.
func jsonCall(v Value) (parts []Value, ok bool) {
	d, ok := v.(Dict)
	if !ok {
		return nil, false
	}
	for _, key := range []string{"object", "method", "params", "kwargs"} {
		part, ok := d.Get(key)
		if !ok {
			return nil, false
		}
		parts = append(parts, part)
	}
	return parts, true
}

// complete gives call with its method and arguments. A batch has None as its keywords.
func (call Call) complete(method, args, kwargs Value) (Call, error) {
	var ok bool
	if call.Method, ok = Text(method); !ok {
		return Call{}, fmt.Errorf("%w: method that is no string", ErrMalformed)
	}
	if call.Args, ok = sequence(args); !ok {
		return Call{}, fmt.Errorf("%w: arguments that are no list", ErrMalformed)
	}
	if kwargs == nil {
		return call, nil
	}
	given, ok := kwargs.(Dict)
	if data, isBytes := kwargs.([]byte); isBytes {
		given, ok = serpentDict(data), true // keywords of those names
	}
	if !ok {
		return Call{}, fmt.Errorf("%w: keywords that are no dict", ErrMalformed)
	}
	seen := make(map[string]bool, len(given))
	for _, p := range given {
		key, ok := Text(p.Key)
		if !ok || seen[key] {
			return Call{}, fmt.Errorf("%w: keyword that is no string, or twice", ErrMalformed)
		}
		seen[key] = true
		call.Kwargs = append(call.Kwargs, Pair{key, p.Value})
	}
	return call, nil
}

// batchMethod is the method of a call that has calls as its arguments
// (_pyroInvokeBatch of both libraries).
const batchMethod = "<batch>"

// Batch gives the calls in a call with the flag Batch: each of its arguments is one, as
// (method, args, kwargs). They all have its object. Errors wrap ErrMalformed.
func Batch(call Call) ([]Call, error) {
	if call.Method != batchMethod {
		return nil, fmt.Errorf("%w: no batch", ErrMalformed)
	}
	calls := make([]Call, 0, len(call.Args))
	for _, arg := range call.Args {
		parts, ok := sequence(arg)
		if !ok || len(parts) != 3 {
			return nil, fmt.Errorf("%w: no call in a batch", ErrMalformed)
		}
		one, err := Call{Object: call.Object}.complete(parts[0], parts[1], parts[2])
		if err != nil {
			return nil, err
		}
		calls = append(calls, one)
	}
	return calls, nil
}
