package control_test

import (
	"errors"
	"io"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// FuzzServe: whatever a client sends, with or without a good CONNECT before it, the
// connection ends when the client's side does, and all that is answered are messages.
func FuzzServe(f *testing.F) {
	for _, form := range forms() {
		head := func(h wire.Head, data []byte) []byte {
			h.Dialect, h.SerializerID, h.DataLen = form.d, form.d.SerializerID(form.s), uint32(len(data))
			return append(wire.AppendHead(nil, h), data...)
		}
		call := pyrotest.Encode(form.s, pyrotest.Tuple{"lab", "echo", pyrotest.Tuple{"x"}, pyrotest.Dict{}})
		if form.s == wire.JSON {
			call = []byte(`{"object":"lab","method":"echo","params":["x"],"kwargs":{}}`)
		}
		f.Add(byte(form.s), form.d == wire.V48, head(wire.Head{Type: wire.Invoke, Seq: 1}, call))
		f.Add(byte(form.s), form.d == wire.V48, head(wire.Head{Type: wire.Invoke, Flags: 8}, call))
		f.Add(byte(form.s), form.d == wire.V48, head(wire.Head{Type: wire.Invoke, Flags: 2}, call))
		f.Add(byte(form.s), form.d == wire.V48, head(wire.Head{Type: wire.Ping}, nil))
		f.Add(byte(0), form.d == wire.V48, pyrotest.ConnectMessage(form.d, form.s, "lab", "hello").Bytes())
	}
	d := control.New(control.Config{
		Lookup: func(id string) (control.Object, bool) { return fuzzed{newLab()}, id == "lab" },
		Limits: control.Limits{Message: 1 << 20},
	})
	f.Fuzz(func(t *testing.T, serializer byte, v48 bool, send []byte) {
		dialect := wire.V502
		if v48 {
			dialect = wire.V48
		}
		// All that is answered has to have room, since it is read afterwards.
		network := &pyrotest.Network{Buffer: 16 << 20}
		near, far := network.Pipe()
		defer near.Close()
		c := pyrotest.NewClient(near, pyrotest.Client{})
		if s := wire.Serializer(serializer); s > 0 && s <= wire.Msgpack && dialect.SerializerID(s) != 0 {
			if err := c.Send(pyrotest.ConnectMessage(dialect, s, "lab", "hello")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Write(send); err != nil {
			t.Fatal(err)
		}
		_ = c.CloseWrite()
		d.ServeConn(t.Context(), far, "")
		for {
			m, err := c.Next()
			if err == nil {
				if h := m.Head; h.Type != wire.ConnectOK && h.Type != wire.ConnectFail && h.Type != wire.Result && h.Type != wire.Ping {
					t.Fatalf("answered %+v", h)
				}
				continue
			}
			if err == io.EOF || len(send) > 0 && !isMessage(err) {
				return // the end, or a reset since not all was read
			}
			t.Fatal(err)
		}
	})
}

// isMessage reports whether the error is about bytes that are no message.
func isMessage(err error) bool {
	var head *wire.HeadError
	return errors.As(err, &head) || errors.Is(err, wire.ErrAnnotations) || errors.Is(err, io.ErrUnexpectedEOF)
}

// fuzzed is a lab whose calls all come back.
type fuzzed struct{ *lab }

func (fuzzed) Members() control.Members {
	return control.Members{Methods: []string{"echo", "naming", "broken", "panics"}}
}
