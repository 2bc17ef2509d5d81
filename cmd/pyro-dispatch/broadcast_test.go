package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/names"
)

// TestBroadcastAnswers: who looks for a name server is told an address at which it is: where
// the question came in only if the name server is there, and what the operator says only if
// it is not everywhere.
func TestBroadcastAnswers(t *testing.T) {
	for _, c := range []struct{ name, address, more, host string }{
		{"at another address", "127.0.0.2:0", "", "127.0.0.2"},
		{"everywhere", ":0", "", "127.0.0.1"},
		{"everywhere in IPv4", "0.0.0.0:0", "", "127.0.0.1"},
		{"at another address, and advertised", "127.0.0.2:0", ", advertise: gate.example", "gate.example"},
		{"everywhere, and advertised", ":0", ", advertise: gate.example", "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, err := net.ListenPacket("udp4", "127.0.0.1:0") // finds a free port
			if err != nil {
				t.Fatal(err)
			}
			asked.Close()
			r := startPublic(t, fmt.Sprintf(`
listeners: [{name: main, address: "127.0.0.1:0"}]
name_server: {listeners: [{name: ns, address: %q, broadcast: %q%s}]}
`, c.address, asked.LocalAddr(), c.more))
			if len(r.facade.packets) != 1 {
				t.Fatal("broadcasts are not answered") // the port was taken meanwhile
			}
			conn, err := net.Dial("udp4", asked.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // for a failing test
			if _, err := conn.Write([]byte("GET_NSURI")); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 100)
			n, err := conn.Read(answer)
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("PYRO:%s@%s:%d", names.OwnName, c.host, portOf(r.facade.listeners[0]))
			if got := string(answer[:n]); got != want {
				t.Fatalf("told %s, want %s", got, want)
			}
			if c.more != "" {
				return
			}
			at, err := net.Dial("tcp", want[strings.LastIndex(want, "@")+1:])
			if err != nil {
				t.Fatalf("where we are told that it is: %v", err)
			}
			at.Close()
		})
	}
}
