package integration

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestOwnHandshakes has a thousand clients, each with a handshake of its own and none of which
// leaves, on a daemon with four threads: each is answered to what it said, and served.
func TestOwnHandshakes(t *testing.T) {
	const clients = 1000
	for _, p := range protocols {
		t.Run(p.lib, func(t *testing.T) {
			t.Parallel()
			server := startDaemon(t, p.lib, "--name", "served", "--threadpool-size", "4")
			d := startFlags(t, server, "--mode", "call", "--max-connections", "4")
			conns := make([]net.Conn, clients)
			each(t, clients, func(i int) error {
				who := fmt.Sprintf("client %d of many", i)
				own := p
				own.connect = p.greeting(who)
				conn, h, body, err := own.open(d.location)
				if conn != nil {
					t.Cleanup(func() { _ = conn.Close() })
				}
				if err != nil || h.Type != msgConnectOK || !strings.Contains(body, fmt.Sprintf("%q", who)) {
					return fmt.Errorf("its CONNECT was answered with %+v %q, %w", h, body, err)
				}
				conns[i] = conn
				return own.whoami(conn)
			})
			callEach(t, &p, conns)
			if e := d.cluster(t).Endpoints[0]; e.Connections > 4 {
				t.Errorf("the daemon has %d connections, want 4 at most", e.Connections)
			}
		})
	}
}

// greeting returns a CONNECT with handshake data.
func (p *protocol) greeting(data string) []byte {
	body := fmt.Sprintf(`{"handshake": %q, "object": "lab.worker"}`, data)
	if p.lib == "pyro4" {
		return append(header4(msgConnect, json4, 16, 0, int32(len(body)), 0), body...)
	}
	return append(header5(msgConnect, json5, 0, 0, uint32(len(body)), 0), body...)
}
