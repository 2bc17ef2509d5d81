package names

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// responding serves r on an address of this machine until the test ends.
func responding(t *testing.T, network, address string, r *Responder) net.Addr {
	t.Helper()
	conn, err := net.ListenPacket(network, address)
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Serve(ctx, conn) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn.LocalAddr()
}

func TestResponder(t *testing.T) {
	for _, c := range []struct {
		network, listen string
		responder       Responder
		want            string
	}{
		{"udp4", "127.0.0.1:0", Responder{Port: 9090}, "PYRO:Pyro.NameServer@127.0.0.1:9090"},
		{"udp4", "127.0.0.1:0", Responder{Port: 9090, Advertise: Advertise{Port: 7}}, "PYRO:Pyro.NameServer@127.0.0.1:7"},
		{"udp4", "127.0.0.1:0", Responder{Port: 9090, Advertise: Advertise{Host: "h"}}, "PYRO:Pyro.NameServer@h:9090"},
		{"udp4", "127.0.0.1:0", Responder{Port: 9090, Advertise: Advertise{Host: string(make([]byte, 99))}}, "PYRO:Pyro.NameServer@127.0.0.1:9090"},
		{"udp4", "127.0.0.1:0", Responder{Port: 9090, Bound: netip.MustParseAddr("192.0.2.7")}, "PYRO:Pyro.NameServer@192.0.2.7:9090"},
		{"udp4", "127.0.0.1:0", Responder{Port: 9090, Bound: netip.MustParseAddr("2001:db8::7")}, "PYRO:Pyro.NameServer@[2001:db8::7]:9090"},
		{"udp4", "127.0.0.1:0", Responder{Port: 9090, Bound: netip.MustParseAddr("192.0.2.7"), Advertise: Advertise{"h", 7}}, "PYRO:Pyro.NameServer@h:7"},
		{"udp4", "127.0.0.1:0", Responder{Port: 9090, Bound: netip.MustParseAddr("192.0.2.7"), Advertise: Advertise{Host: string(make([]byte, 99))}}, "PYRO:Pyro.NameServer@192.0.2.7:9090"},
		{"udp4", "127.0.0.1:0", Responder{Port: 9090, Bound: netip.IPv6Unspecified()}, "PYRO:Pyro.NameServer@127.0.0.1:9090"},
		{"udp6", "[::1]:0", Responder{Port: 9090}, "PYRO:Pyro.NameServer@[::1]:9090"},
		{"udp", "[::]:0", Responder{Port: 9090}, "PYRO:Pyro.NameServer@127.0.0.1:9090"}, // asked over IPv4
	} {
		t.Run(c.listen, func(t *testing.T) {
			addr := responding(t, c.network, c.listen, &c.responder).(*net.UDPAddr)
			if addr.IP.IsUnspecified() {
				addr.IP = net.IPv4(127, 0, 0, 1)
			}
			conn, err := net.DialUDP("udp", nil, addr)
			if err != nil {
				t.Skip(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // for a failing test
			for _, garbage := range []string{"", "GET_NSUR", "GET_NSURI\n", "get_nsuri", string(make([]byte, 1400)), question} {
				if _, err := conn.Write([]byte(garbage)); err != nil {
					t.Fatal(err)
				}
			}
			// Only the last is answered, so the second answer is to the second question.
			for range 2 {
				answer := make([]byte, 200)
				n, err := conn.Read(answer)
				if err != nil || string(answer[:n]) != c.want {
					t.Fatalf("got %q, %v; want %q", answer[:n], err, c.want)
				}
				if _, err := conn.Write([]byte(question)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestAnswersAreLimited(t *testing.T) {
	l := newLimiter(5, 10)
	now := time.Unix(1000, 0)
	count := func(source string, n int) (allowed int) {
		for range n {
			if l.allow(netip.MustParseAddr(source), now) {
				allowed++
			}
		}
		return allowed
	}
	if n := count("192.0.2.1", 30); n != 10 {
		t.Errorf("%d at once", n)
	}
	now = now.Add(time.Second)
	if n := count("192.0.2.1", 30); n != 5 {
		t.Errorf("%d after a second", n)
	}
	if n := count("192.0.2.2", 30); n != 10 {
		t.Errorf("%d for another", n)
	}
	all := 0
	for i := range 3000 {
		if l.allow(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), now) {
			all++
		}
	}
	if all > totalRate || len(l.sources) > maxSources {
		t.Errorf("%d answers to 3000 sources, %d in the table", all, len(l.sources))
	}
	now = now.Add(time.Minute)
	for i := range 400 {
		count(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String(), 1)
	}
	if n := count("192.0.2.9", 1); n != 1 || len(l.sources) > 401 {
		t.Errorf("%d; %d in the table: those of before are not forgotten", n, len(l.sources))
	}
}
