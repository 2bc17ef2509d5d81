package relay

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// TestRestOfRequest: what a connection did not take at once goes to that connection, and
// not into the middle of the request on another one that the leg has by now.
func TestRestOfRequest(t *testing.T) {
	for _, same := range []bool{true, false} {
		first, second := new(backend.Lease), new(backend.Lease)
		ours, theirs := net.Pipe()
		l := &leg{
			Leg: new(router.Leg), delivery: &delivery{Delivery: new(router.Delivery), message: []byte("request")},
			lease: second, reader: &reader{link: newLink(ours)},
			ended: true, // it is not looked at: nothing comes of what is written
			waits: first, head: []byte("head "), cut: 2,
		}
		want := ""
		if same {
			l.waits, want = second, "head quest"
		}
		got := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(theirs)
			got <- b
		}()
		l.sendRest()
		ours.Close()
		if b := <-got; !bytes.Equal(b, []byte(want)) {
			t.Errorf("the same connection %v: %q was written, not %q", same, b, want)
		}
	}
}
