package control_test

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func TestConnectTellsMembers(t *testing.T) {
	inEach(t, func(t *testing.T, f form) {
		p := start(t, control.Config{}).dial(f)
		m := p.ConnectMessage("lab").WithCorrelation([16]byte{7})
		m.Head.Seq = 41
		if err := p.Send(m); err != nil {
			t.Fatal(err)
		}
		reply, err := p.Next()
		if err != nil {
			t.Fatal(err)
		}
		h := reply.Head
		if h.Type != wire.ConnectOK || h.Seq != 41 || h.Serializer() != f.s || h.Has(wire.MetaOnConnect) != (f.d == wire.V48) {
			t.Errorf("answered %+v", h)
		}
		if id, ok := reply.Correlation(); !ok || id != [16]byte{7} {
			t.Errorf("correlation id %x", id)
		}
		v, err := p.codec.Decode(reply.Data, values.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		if f.s == wire.Serpent {
			// Pyro4 lists what Pyro5 has sets of.
			meta, _ := v.(values.Dict).Get("meta")
			methods, _ := meta.(values.Dict).Get("methods")
			want := fmt.Sprintf("%T", values.Value(values.Set{}))
			if f.d == wire.V48 {
				want = fmt.Sprintf("%T", values.Value(values.List{}))
			}
			wantEqual(t, "methods", fmt.Sprintf("%T", methods), want)
		}
		names := func(n ...values.Value) values.List { return n }
		wantEqual(t, "CONNECTOK", flat(sorted(v)), flat(sorted(values.Dict{
			{Key: "handshake", Value: "hello"},
			{Key: "meta", Value: values.Dict{
				{Key: "methods", Value: names("echo", "naming", "broken", "panics", "note", "notes", "wait", "hold", "odd", "oddly")},
				{Key: "oneway", Value: names("note")},
				{Key: "attrs", Value: names("colour")},
			}},
		})))
	})
}

// Pyro4 with METADATA off names no object and gets the bare handshake.
func TestConnectWithoutMetadata(t *testing.T) {
	p := start(t, control.Config{}).dial(form{wire.V48, wire.Serpent})
	reply, err := p.Connect("")
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.codec.Decode(reply.Data, values.DefaultLimits())
	if err != nil || v != "hello" || reply.Head.Has(wire.MetaOnConnect) {
		t.Errorf("%v %v %+v", v, err, reply.Head)
	}
	meta, err := p.do(p.invocation("Pyro.Daemon", "get_metadata", []values.Value{"lab"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "get_metadata", len(meta.(values.Dict)), 3)
}

func TestCalls(t *testing.T) {
	inEach(t, func(t *testing.T, f form) {
		r := start(t, control.Config{})
		p := r.connected(f)

		v, err := p.do(p.invocation("lab", "echo", []values.Value{int64(1), "two", nil},
			values.Dict{{Key: "three", Value: true}}))
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "echo", flat(v), values.Value(values.List{
			values.List{int64(1), "two", nil}, values.Dict{{Key: "three", Value: true}},
		}))
		_, err = p.call("naming")
		wantRaised(t, err, "errors.NamingError", "unknown name: x")
		_, err = p.call("nothing")
		wantRaised(t, err, "builtins.AttributeError", "'Lab' object has no attribute 'nothing'")
		_, err = p.call("_hidden")
		wantRaised(t, err, "builtins.AttributeError", "attempt to access private attribute '_hidden'")
		_, err = p.do(p.invocation("nobody", "echo", nil, nil))
		wantRaised(t, err, "errors.DaemonError", "unknown object")

		v, err = p.call("__getattr__", "colour")
		if v != "green" || err != nil {
			t.Errorf("an attribute: %v %v", v, err)
		}
		if _, err = p.call("__setattr__", "colour", "red"); err != nil {
			t.Error(err)
		}
		_, err = p.call("__getattr__", "secret")
		wantRaised(t, err, "builtins.AttributeError", "type object 'Lab' has no attribute 'secret'")
		_, err = p.call("__setattr__", "colour")
		wantRaised(t, err, "builtins.IndexError", "tuple index out of range")

		_, err = p.call("odd")
		wantRaised(t, err, "errors.SerializeError", "the result cannot be serialized")
		_, err = p.call("oddly")
		wantRaised(t, err, "errors.PyroError", "the exception cannot be serialized")
		_, err = p.call(strings.Repeat("ü", 90))
		wantRaised(t, err, "builtins.AttributeError", "'Lab' object has no attribute '"+strings.Repeat("ü", 50)+"...'")
		// Cut in the middle of a letter.
		_, err = p.call("a" + strings.Repeat("ü", 90))
		wantRaised(t, err, "builtins.AttributeError", "'Lab' object has no attribute 'a"+strings.Repeat("ü", 49)+"...'")
		if err := p.Ping(); err != nil {
			t.Errorf("after all that: %v", err)
		}
		wantEqual(t, "outcomes", r.outcomes(), []control.Outcome{
			control.Answered, control.Raised, control.NoSuch, control.NoSuch, control.NoSuch,
			control.Answered, control.Answered, control.NoSuch, control.NoSuch, control.Answered, control.Failed,
			control.Raised, control.Failed, control.NoSuch, control.NoSuch,
		})
	})
}

// What goes wrong in us is told without detail, and found in the log by its id.
func TestInternalErrors(t *testing.T) {
	for _, method := range []string{"broken", "panics"} {
		r := start(t, control.Config{})
		p := r.connected(form{wire.V502, wire.Serpent})
		reply, err := p.Do(p.invocation("lab", method, nil, nil).WithCorrelation([16]byte{0xab}))
		if err != nil {
			t.Fatal(err)
		}
		text := string(reply.Data)
		const id = "ab000000-0000-0000-0000-000000000000"
		if !strings.Contains(text, "Pyro5.errors.PyroError") || !strings.Contains(text, id) || strings.Contains(text, "secret") {
			t.Errorf("%s: told %q", method, text)
		}
		lines := r.logs.FilterMessage("a call failed").All()
		if len(lines) != 1 {
			t.Fatalf("%s: %d lines", method, len(lines))
		}
		fields := lines[0].ContextMap()
		if fields["correlation_id"] != id || fields["method"] != method || !strings.Contains(fields["error"].(string), "secret") {
			t.Errorf("%s: logged %v", method, fields)
		}
	}
}

func TestCallerIsTold(t *testing.T) {
	r := start(t, control.Config{})
	f := form{wire.V48, wire.Msgpack}
	p := r.connected(f)
	reply, err := p.Do(p.invocation("lab", "echo", nil, nil).WithCorrelation([16]byte{9}))
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := reply.Correlation(); !ok || id != [16]byte{9} {
		t.Errorf("reply has correlation id %x", id)
	}
	from := r.lab.from
	if from.Listener != "inside" || from.Dialect != f.d || from.Serializer != f.s || from.Correlation != [16]byte{9} ||
		from.Local.String() != address || from.Remote.Addr().String() != pyrotest.DefaultSource {
		t.Errorf("%+v", from)
	}
	// A daemon makes an id where there is none.
	reply, err = p.Do(p.invocation("lab", "echo", nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := reply.Correlation(); !ok || id == [16]byte{} || id != r.lab.from.Correlation {
		t.Errorf("made correlation id %x", id)
	}
}

func TestOneway(t *testing.T) {
	inEach(t, func(t *testing.T, f form) {
		r := start(t, control.Config{})
		p := r.connected(f)
		for _, method := range []string{"note", "broken", "nothing"} {
			m := p.invocation("lab", method, []values.Value{"noted"}, nil)
			m.Head.Flags |= f.d.Bit(wire.Oneway)
			if err := p.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		v, err := p.call("notes") // gets the first answer there is
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "notes", flat(v), values.Value(values.List{"noted"}))
	})
}

func TestBatch(t *testing.T) {
	inEach(t, func(t *testing.T, f form) {
		r := start(t, control.Config{})
		p := r.connected(f)
		one := func(method string, args ...values.Value) values.Value {
			return values.Tuple{method, values.Tuple(args), values.Dict{}}
		}
		message := func(calls ...values.Value) pyrotest.Message {
			m := p.invocation("lab", "<batch>", calls, nil)
			m.Head.Flags |= f.d.Bit(wire.Batch)
			return m
		}
		batch := func(calls ...values.Value) (values.Value, error) { return p.do(message(calls...)) }
		if reply, err := p.Do(message()); err != nil || reply.Head.Flags&^f.d.Bit(wire.HasCorrelation) != f.d.Bit(wire.Batch) {
			t.Errorf("%v, flags %#x", err, reply.Head.Flags)
		}
		v, err := batch(one("echo", int64(1)), one("naming"), one("echo", int64(2)))
		if err != nil {
			t.Fatal(err)
		}
		results, ok := v.(values.List)
		if !ok || len(results) != 2 {
			t.Fatalf("%#v: want two results, the second of which is the exception", v)
		}
		wantEqual(t, "the first", flat(results[0]), values.Value(values.List{values.List{int64(1)}, values.Dict{}}))
		raised, ok := results[1].(values.Raised)
		if !ok {
			t.Fatalf("%#v", results[1])
		}
		wantRaised(t, raised.Exception, "errors.NamingError", "unknown name: x")

		v, err = batch()
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "no calls", flat(v), values.Value(values.List{}))
		_, err = batch(one("nothing"))
		wantRaised(t, err, "builtins.AttributeError", "'Lab' object has no attribute 'nothing'")
		_, err = batch("what")
		wantRaised(t, err, "builtins.ValueError", "not a batch of calls")
	})
}

func TestCompressedAndSerializedRequests(t *testing.T) {
	inEach(t, func(t *testing.T, f form) {
		r := start(t, control.Config{Limits: control.Limits{Message: 100_000, Memory: 200_000}})
		p := r.connected(f)
		squeezed := func(text string) pyrotest.Message {
			m := p.invocation("lab", "note", []values.Value{text}, nil)
			var b bytes.Buffer
			w := zlib.NewWriter(&b)
			_, _ = w.Write(m.Data)
			_ = w.Close()
			m.Data = b.Bytes()
			m.Head.Flags |= f.d.Bit(wire.Compressed)
			return m
		}
		for range 10 { // more often than there is memory for at once
			if _, err := p.do(squeezed(strings.Repeat("a", 90_000))); err != nil {
				t.Fatal(err)
			}
		}
		blob := p.invocation("lab", "echo", nil, nil)
		blob.Head.Flags |= f.d.Bit(wire.KeepSerialized)
		_, err := p.do(blob)
		wantRaised(t, err, "errors.DaemonError", "this object takes no serialized blobs")
		// A bomb: the answer, then the end.
		_, err = p.do(squeezed(strings.Repeat("a", 10_000_000)))
		wantRaised(t, err, "errors.SerializeError", "the call is larger than this object takes")
		wantEnd(t, p)
	})
}
