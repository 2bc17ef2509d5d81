package integration

import (
	"fmt"
	"testing"
)

// TestThousandHandshakes has a thousand clients whose CONNECTs all differ on a daemon with four
// threads: no two can share a connection, and each is served, twice.
func TestThousandHandshakes(t *testing.T) {
	const clients = 1000
	server := startDaemon(t, "pyro5", "--threadpool-size", "4", "--name", "served")
	d := runDispatcher(t, dispatcher, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--backend", server.backend(), "--mode", "call", "--max-connections", "4")
	var greeters []*protocol
	for i := range clients {
		p := protocols[0]
		data := fmt.Sprintf(`{"handshake": {"answer": "client %d"}, "object": "lab.worker"}`, i)
		p.connect = append(header5(msgConnect, json5, 0, 0, uint32(len(data)), 0), data...)
		greeters = append(greeters, &p)
	}
	// Those with a connection under way at one time are fewer than may wait in the queue.
	each(t, clients, func(i int) error {
		conn, h, body, err := greeters[i].open(d.location)
		if err != nil || h.Type != msgConnectOK {
			return fmt.Errorf("CONNECT was answered with %+v %q, %w", h, body, err)
		}
		defer conn.Close()
		for range 2 {
			if err := greeters[i].whoami(conn); err != nil {
				return err
			}
		}
		return nil
	})
	m := d.metrics(t)
	if n := sum(m, "pyro_dispatch_queue_refused_total"); n != 0 {
		t.Errorf("%v were refused", n)
	}
	if n := sum(m, "pyro_dispatch_endpoint_breaker_transitions_total"); n != 0 {
		t.Errorf("%v changes of the breaker: a daemon without free workers is well", n)
	}
}
