package relay

import (
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// TestLastPing: the PING behind a call reaches the call's connection, although the client's
// next call has another one by then.
func TestLastPing(t *testing.T) {
	ours, theirs := net.Pipe()
	other, _ := net.Pipe()
	d := &driver{leg: newLink(other), legPort: 2, session: router.New(&router.Env{}, netip.Addr{}, nil, 0)}
	lease := &backend.Lease{Conn: &backend.Conn{Conn: ours}}
	go func() {
		d.perform(todo{actions: []router.Action{{Op: router.Send, Port: 1, Lease: lease, Bytes: []byte("ping")}}})
		ours.Close()
	}()
	if got, err := io.ReadAll(theirs); string(got) != "ping" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
