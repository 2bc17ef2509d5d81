package control

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// serve reads one request and answers it. It is false where the connection is to end.
// Compare Daemon.handleRequest in Pyro4/core.py and Pyro5/server.py. In one thing we
// differ: oneway calls have no thread of their own, so they run in order.
func (c *conn) serve(ctx context.Context) bool {
	d := c.daemon
	charged := int64(0)
	defer func() { d.bodies.Release(charged) }()
	m, err := readMessage(c.in, func(h *wire.Head) error {
		if n := h.BodyLen(); n > d.Limits.Message || int64(h.AnnotationsLen) > d.Limits.Annotations {
			return &tooLargeError{h.Dialect, n, d.Limits.Message}
		}
		if h.Type != wire.Invoke && h.Type != wire.Ping {
			return &typeError{h.Type}
		}
		if h.Dialect != c.dialect { // which would need no signature, for example
			return fmt.Errorf("a message of %s on a connection of %s", h.Dialect, c.dialect)
		}
		n := h.BodyLen()
		if n <= smallMessage {
			return nil
		}
		waiting, cancel := context.WithTimeout(ctx, d.RequestTimeout)
		defer cancel()
		if err := d.bodies.Acquire(waiting, n); err != nil {
			return fmt.Errorf("no memory for a request of %d bytes: %w", n, err)
		}
		charged = n
		return c.SetReadDeadline(time.Now().Add(d.RequestTimeout))
	})
	if err == nil {
		err = m.verify(d.HMACKey)
	}
	if err != nil {
		// After the handshake a daemon closes without a word.
		c.log("cannot read a request", err, correlated(m.marks.Correlation))
		return false
	}
	r := &request{conn: c, message: m, id: correlation(&m)}
	if m.head.Type == wire.Ping {
		return c.send(appendMessage(nil, wire.Head{
			Dialect: m.head.Dialect, Type: wire.Ping, SerializerID: m.head.SerializerID, Seq: m.head.Seq,
		}, r.id, []byte("pong"), d.HMACKey))
	}
	ctx, cancel := context.WithTimeout(ctx, d.CallTimeout)
	defer cancel()
	return r.answer(ctx)
}

// request is an INVOKE that is being answered.
type request struct {
	*conn
	message
	id    [16]byte // of correlation: the client's or ours
	codec values.Codec
}

// answer is false where the connection is to end.
func (r *request) answer(ctx context.Context) bool {
	serializer := r.head.Serializer()
	var ok bool
	if r.codec, ok = values.For(r.head.Dialect, serializer); !ok {
		return r.foreign(serializer)
	}
	if r.head.Has(wire.KeepSerialized) {
		r.observe("", "", Unreadable, 0)
		return r.raise(&values.Exception{
			Class: "errors.DaemonError", Args: []values.Value{"this object takes no serialized blobs"},
		})
	}
	if r.head.Has(wire.Compressed) {
		// Nobody knows what it will grow to.
		if err := r.daemon.inflated.Acquire(ctx, r.daemon.Limits.Message); err != nil {
			r.fail("no memory for a compressed request", TimedOut, "", "", err)
			return false
		}
		defer r.daemon.inflated.Release(r.daemon.Limits.Message)
	}
	call, err := r.decode()
	if err != nil {
		r.fail("cannot decode a call", Unreadable, "", "", err)
		text := "the call cannot be read"
		if errors.Is(err, values.ErrLimit) {
			text = "the call is larger than this object takes"
		}
		// A SerializeError is a communication error: a daemon closes behind it, and so
		// does the proxy.
		if r.raise(&values.Exception{Class: "errors.SerializeError", Args: []values.Value{text}}) {
			r.linger()
		}
		return false
	}
	object, ok := r.daemon.object(call.Object)
	if !ok {
		r.fail("unknown object", NoSuch, "", "", nil, zap.String("asked", clip(call.Object)))
		return r.raise(&values.Exception{Class: "errors.DaemonError", Args: []values.Value{textUnknownObject}})
	}
	if r.head.Has(wire.Batch) {
		return r.batch(ctx, object, call)
	}
	result, raised, _ := r.call(ctx, object, call)
	if raised != nil {
		return r.raise(raised)
	}
	return r.result(result, 0)
}

func (r *request) decode() (values.Call, error) {
	data := r.data
	if r.head.Has(wire.Compressed) {
		var err error
		if data, err = values.Inflate(data, r.daemon.read.Bytes); err != nil {
			return values.Call{}, err
		}
	}
	return r.codec.DecodeCall(data, r.daemon.read)
}

// foreign answers in a serializer that is never read. Pyro4 raises a SerializeError in
// that serializer and closes; Pyro5 knows none of those and just closes.
func (r *request) foreign(s wire.Serializer) bool {
	r.fail("serializer not accepted", Unreadable, "", "", errors.New(notAccepted(&r.head)))
	if s == wire.UnknownSerializer || r.head.Has(wire.Oneway) {
		return false
	}
	raw := wire.AppendFailure(nil, wire.Failure{
		Dialect: r.head.Dialect, Serializer: s, Seq: r.head.Seq,
		Class: wire.CommunicationError, Text: notAccepted(&r.head),
	})
	if r.send(resign(raw, r.id, r.daemon.HMACKey)) {
		r.linger()
	}
	return false
}

// batch runs calls until one fails: the exception is then the last of the results, in
// the libraries' wrapper. That a method does not exist is raised for all of them.
func (r *request) batch(ctx context.Context, object Object, call values.Call) bool {
	calls, err := values.Batch(call)
	if err != nil {
		r.fail("cannot decode a batch", Unreadable, call.Object, "", err)
		return r.raise(&values.Exception{Class: "builtins.ValueError", Args: []values.Value{"not a batch of calls"}})
	}
	results := values.List{}
	for _, one := range calls {
		one.Object = call.Object
		result, raised, ok := r.call(ctx, object, one)
		if !ok {
			return r.raise(raised)
		}
		if raised != nil {
			results = append(results, values.Raised{Exception: raised})
			break
		}
		results = append(results, result)
	}
	return r.result(results, r.head.Dialect.Bit(wire.Batch))
}

// call runs one method. What failed otherwise than by an exception is written down, and
// the client is told that it did. ok is false where there is no such method.
func (r *request) call(ctx context.Context, object Object, call values.Call) (result values.Value, raised *values.Exception, ok bool) {
	if err := exposed(membersOf(object, r.head.Dialect), call); err != nil {
		r.fail("no such method", NoSuch, call.Object, "", err, zap.String("asked", clip(call.Method)))
		return nil, err, false
	}
	begun := r.daemon.Now()
	result, err := guarded(context.WithValue(ctx, correlationKey{}, r.id), object, Caller{
		Listener: r.listener, Local: r.local, Remote: r.remote,
		Dialect: r.head.Dialect, Serializer: r.head.Serializer(), Correlation: r.id,
	}, call)
	took := r.daemon.Now().Sub(begun)
	switch {
	case err == nil:
		r.observe(call.Object, call.Method, Answered, took)
		return result, nil, true
	case errors.As(err, &raised):
		r.observe(call.Object, call.Method, Raised, took)
		return nil, raised, true
	}
	outcome, text := Failed, "internal error"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		outcome, text = TimedOut, "the call took too long"
	}
	r.failTook("a call failed", outcome, call.Object, call.Method, took, err)
	return nil, &values.Exception{
		Class: "errors.PyroError", Args: []values.Value{fmt.Sprintf("%s (correlation id %s)", text, uuid.UUID(r.id))},
	}, true
}

// guarded turns a panic of the object's into an error: one object must not end the
// others.
func guarded(ctx context.Context, o Object, from Caller, call values.Call) (result values.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return o.Call(ctx, from, call.Method, call.Args, call.Kwargs)
}

// result sends what a method returned.
func (r *request) result(v values.Value, flags uint16) bool {
	if r.head.Has(wire.Oneway) {
		return true
	}
	data, err := r.codec.Append(nil, v)
	if err != nil {
		r.fail("cannot serialize a result", Failed, "", "", err)
		return r.raise(&values.Exception{
			Class: "errors.SerializeError", Args: []values.Value{"the result cannot be serialized"},
		})
	}
	return r.reply(flags, data)
}

// raise sends an exception.
func (r *request) raise(e *values.Exception) bool {
	if r.head.Has(wire.Oneway) {
		return true
	}
	data, err := r.codec.Append(nil, e)
	if err != nil {
		r.fail("cannot serialize an exception", Failed, "", "", err)
		data, err = r.codec.Append(nil, &values.Exception{
			Class: "errors.PyroError", Args: []values.Value{"the exception cannot be serialized"},
		})
		if err != nil {
			return false
		}
	}
	return r.reply(r.head.Dialect.Bit(wire.Exception), data)
}

func (r *request) reply(flags uint16, data []byte) bool {
	return r.send(appendMessage(nil, wire.Head{
		Dialect: r.head.Dialect, Type: wire.Result, SerializerID: r.head.SerializerID, Seq: r.head.Seq, Flags: flags,
	}, r.id, data, r.daemon.HMACKey))
}

func (r *request) fail(what string, o Outcome, object, method string, err error, fields ...zap.Field) {
	r.failTook(what, o, object, method, 0, err, fields...)
}

// failTook tells of a call that went wrong, in one line.
func (r *request) failTook(what string, o Outcome, object, method string, took time.Duration, err error, fields ...zap.Field) {
	r.observe(object, method, o, took)
	r.daemon.Log.Warn(what, append(fields,
		zap.String("listener", r.listener), zap.Stringer("peer", r.RemoteAddr()),
		zap.Stringer("dialect", r.head.Dialect), zap.String("object", object), zap.String("method", method),
		zap.Stringer("outcome", o), zap.Duration("elapsed", took), correlated(r.id), zap.Error(err))...)
}

func (r *request) observe(object, method string, o Outcome, took time.Duration) {
	r.daemon.Observe(CallEvent{
		Listener: r.listener, Object: object, Method: method, Dialect: r.head.Dialect, Outcome: o, Duration: took,
	})
}
