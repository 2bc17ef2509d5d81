package integration

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// idleClients is how many clients are connected at once, if descriptors allow.
const idleClients = 8000

// idleClientMemory is what one of them may cost, in bytes.
const idleClientMemory = 6 << 10

// protocol is one library's, as far as a client needs it that only calls whoami.
type protocol struct {
	lib     string
	connect []byte
	call    []byte
	size    int // of a header
}

const whoami = `{"object": "lab.worker", "method": "whoami", "params": [], "kwargs": {}}`

var protocols = []protocol{
	{"pyro5", connect5("lab.worker"), append(header5(msgInvoke, json5, 0, 1, uint32(len(whoami)), 0), whoami...), 40},
	{"pyro4", connect4("lab.worker"), append(header4(msgInvoke, json4, 0, 1, int32(len(whoami)), 0), whoami...), 24},
}

// ask sends a message and reads the answer to it.
func (p *protocol) ask(conn net.Conn, message []byte) (head, string, error) {
	if _, err := conn.Write(message); err != nil {
		return head{}, "", err
	}
	b := make([]byte, p.size)
	if _, err := io.ReadFull(conn, b); err != nil {
		return head{}, "", err
	}
	h, err := parseHead(b)
	if err != nil {
		return head{}, "", err
	}
	body := make([]byte, int64(h.Annotations)+int64(h.Data))
	_, err = io.ReadFull(conn, body)
	return h, string(body), err
}

// open connects a client and says hello.
func (p *protocol) open(location string) (net.Conn, head, string, error) {
	conn, err := net.Dial("tcp", location)
	if err != nil {
		return nil, head{}, "", err
	}
	if err := conn.SetDeadline(deadline()); err != nil {
		return nil, head{}, "", err
	}
	h, body, err := p.ask(conn, p.connect)
	return conn, h, body, err
}

// TestIdleSwarm has thousands of connected clients on a daemon with four threads: all of them
// are served, again and again, and cost little. Without the dispatcher the fifth is refused.
func TestIdleSwarm(t *testing.T) {
	binary, err := plainDispatcher()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range protocols {
		t.Run(p.lib, func(t *testing.T) {
			server := startDaemon(t, p.lib, "--threadpool-size", "4", "--name", "served")
			directlyFour(t, &p, server.location)

			d := runDispatcher(t, binary, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
				"--backend", server.backend(), "--mode", "call", "--max-connections", "4")
			clients := idleClients
			if fits := (openFiles(t) - 1000) / 2; fits < clients {
				t.Logf("the limit of open files allows %d clients, not %d", fits, clients)
				clients = fits
			}
			// The first ones, for what is made once.
			conns := swarm(t, &p, d.location, 100)
			before := d.memory(t, "VmRSS")
			conns = append(conns, swarm(t, &p, d.location, clients-len(conns))...)
			if n := sum(d.metrics(t), "pyro_dispatch_sessions"); n != float64(clients) {
				t.Errorf("%v sessions, want %d", n, clients)
			}
			if n := sum(d.metrics(t), "pyro_dispatch_endpoint_connections"); n > 4 {
				t.Errorf("%v connections to the daemon", n)
			}
			callEach(t, &p, conns) // each once more, after all have connected
			each := 0
			defer func() { t.Logf("%d clients of a daemon with four threads, %d bytes of memory each", clients, each) }()
			eventually(t, fmt.Sprintf("an idle client costs at most %d bytes", idleClientMemory), func() bool {
				each = (d.memory(t, "VmRSS") - before) / (clients - 100)
				return each <= idleClientMemory
			})
			callEach(t, &p, conns) // also those that were put away
			for _, conn := range conns {
				_ = conn.Close()
			}
			eventually(t, "all have gone", func() bool { return sum(d.metrics(t), "pyro_dispatch_sessions") == 0 })
		})
	}
}

// directlyFour shows that the daemon serves four clients, and what the fifth gets.
func directlyFour(t *testing.T, p *protocol, location string) {
	t.Helper()
	for i := range 5 {
		conn, h, body, err := p.open(location)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i < 4 && h.Type != msgConnectOK {
			t.Fatalf("client %d was answered with %+v %q", i+1, h, body)
		}
		if i == 4 && (h.Type != msgConnectFail || !strings.Contains(body, "no free workers")) {
			t.Errorf("the fifth client was answered with %+v %q", h, body)
		}
	}
}

// swarm connects n clients, each of which calls once.
func swarm(t *testing.T, p *protocol, location string, n int) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	each(t, n, func(i int) error {
		conn, h, body, err := p.open(location)
		if err != nil || h.Type != msgConnectOK {
			return fmt.Errorf("CONNECT was answered with %+v %q, %w", h, body, err)
		}
		conns[i] = conn
		return p.whoami(conn)
	})
	t.Cleanup(func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	return conns
}

// callEach makes one call by each client.
func callEach(t *testing.T, p *protocol, conns []net.Conn) {
	t.Helper()
	each(t, len(conns), func(i int) error {
		if err := conns[i].SetDeadline(deadline()); err != nil {
			return err
		}
		return p.whoami(conns[i])
	})
}

func (p *protocol) whoami(conn net.Conn) error {
	h, body, err := p.ask(conn, p.call)
	if err != nil || h.Type != msgResult || !strings.Contains(body, "served") {
		return fmt.Errorf("the call was answered with %+v %q, %w", h, body, err)
	}
	return nil
}

// each does something for 0 to n-1, a hundred at a time. The first error ends the test.
func each(t *testing.T, n int, do func(i int) error) {
	t.Helper()
	var wait sync.WaitGroup
	next := make(chan int)
	errs := make(chan error, 100)
	for range 100 {
		wait.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					errs <- fmt.Errorf("client %d: %w", i, err)
					return
				}
			}
		})
	}
	stuck := time.After(2 * patience)
	for i := range n {
		select {
		case next <- i:
		case err := <-errs:
			t.Fatal(err)
		case <-stuck:
			t.Fatalf("clients are stuck before the %dth", i)
		}
	}
	close(next)
	wait.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
}

// openFiles is the limit of open files, of this process and those that it starts.
func openFiles(t *testing.T) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return int(min(limit.Cur, 1<<20))
}
