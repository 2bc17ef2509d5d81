package pyrotest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestAddresses(t *testing.T) {
	tests := []struct{ name, address, want string }{
		{"IPv4", "192.0.2.10:9999", "192.0.2.10:9999"},
		{"IPv6", "[2001:db8::1]:9999", "[2001:db8::1]:9999"},
		{"no host", ":9999", "192.0.2.1:9999"},
		{"a name", "camera:9999", "198.51.100.1:9999"},
		{"Unix socket", "unix:/run/camera", "/run/camera"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var n Network
			l, err := n.Listen(test.address)
			noError(t, err)
			if got := l.Addr().String(); got != test.want {
				t.Errorf("the listener's address is %s", got)
			}
			if _, err := n.Listen(test.address); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("listening twice: %v", err)
			}
			c, err := n.Dial(test.address)
			noError(t, err)
			s, err := l.Accept()
			noError(t, err)
			if c.RemoteAddr().String() != test.want || s.LocalAddr().String() != test.want {
				t.Errorf("connected to %v, accepted at %v", c.RemoteAddr(), s.LocalAddr())
			}
			if s.RemoteAddr().String() != c.LocalAddr().String() {
				t.Errorf("from %v, seen as %v", c.LocalAddr(), s.RemoteAddr())
			}
		})
	}
}

func TestSourceAddresses(t *testing.T) {
	var n Network
	l, err := n.Listen("192.0.2.10:0")
	noError(t, err)
	seen := make(map[string]bool)
	for _, source := range []string{DefaultSource, "203.0.113.7", "203.0.113.7", "2001:db8::7"} {
		if _, err := n.DialFrom(t.Context(), source, l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		noError(t, err)
		addr := c.RemoteAddr().(*net.TCPAddr)
		if !addr.IP.Equal(net.ParseIP(source)) {
			t.Errorf("from %s, seen as %v", source, addr)
		}
		if seen[addr.String()] {
			t.Errorf("two connections from %v", addr)
		}
		seen[addr.String()] = true
	}
}

func TestDialErrors(t *testing.T) {
	const address = "192.0.2.10:9999"
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name  string
		ctx   context.Context // with a deadline where nil
		setup func(t *testing.T, n *Network)
		want  error
	}{
		{"nobody listens", nil, func(*testing.T, *Network) {}, syscall.ECONNREFUSED},
		{"refused", nil, func(t *testing.T, n *Network) {
			listen(t, n, address)
			n.Refuse(address)
		}, syscall.ECONNREFUSED},
		{"black hole", nil, func(t *testing.T, n *Network) { n.BlackHole(address) }, context.DeadlineExceeded},
		{"listener closed", nil, func(t *testing.T, n *Network) { _ = listen(t, n, address).Close() }, syscall.ECONNREFUSED},
		{"full queue", nil, func(t *testing.T, n *Network) {
			n.Backlog = 1
			listen(t, n, address)
			_, err := n.Dial(address)
			noError(t, err)
		}, context.DeadlineExceeded},
		{"canceled before", canceled, func(t *testing.T, n *Network) { listen(t, n, address) }, context.Canceled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n Network
				test.setup(t, &n)
				ctx := test.ctx
				if ctx == nil {
					var cancel func()
					ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
				}
				c, err := n.DialContext(ctx, "tcp", address)
				if c != nil {
					t.Error("a connection and an error")
				}
				if !errors.Is(err, test.want) {
					t.Fatalf("got %v, want %v", err, test.want)
				}
				var op *net.OpError
				if !errors.As(err, &op) || op.Timeout() != (test.want == context.DeadlineExceeded) {
					t.Errorf("%#v", err)
				}
			})
		})
	}
}

func listen(t *testing.T, n *Network, address string) net.Listener {
	t.Helper()
	l, err := n.Listen(address)
	noError(t, err)
	return l
}

func TestRestore(t *testing.T) {
	const address = "192.0.2.10:9999"
	var n Network
	listen(t, &n, address)
	n.Refuse(address)
	if _, err := n.Dial(address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal(err)
	}
	n.Restore(address)
	_, err := n.Dial(address)
	noError(t, err)
}

// Closing a listener ends Accept and resets who was never accepted; its
// address can be used again.
func TestListenerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n Network
		l := listen(t, &n, "192.0.2.10:9999")
		c, err := n.Dial("192.0.2.10:9999")
		noError(t, err)
		_, err = l.Accept()
		noError(t, err)
		accepted := make(chan error, 1)
		go func() {
			_, err := l.Accept()
			accepted <- err
		}()
		synctest.Wait()
		noError(t, l.Close())
		wantError(t, "Accept", <-accepted, net.ErrClosed)
		wantError(t, "Close", l.Close(), net.ErrClosed)
		write(t, c, "accepted connections stay")

		l = listen(t, &n, "192.0.2.10:9999")
		c, err = n.Dial("192.0.2.10:9999")
		noError(t, err)
		noError(t, l.Close())
		wantReadError(t, c, syscall.ECONNRESET)
	})
}

// A Write waits for the peer to read, and gives what it wrote when it fails.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := Network{Buffer: 10}
		c, peer := n.Pipe()
		sent := []byte("0123456789abcdefghij-")
		done := make(chan error, 1)
		go func() {
			_, err := c.Write(sent)
			done <- err
		}()
		synctest.Wait()
		if peer.Buffered() != 10 {
			t.Fatalf("%d bytes wait for the peer", peer.Buffered())
		}
		wantRead(t, peer, "0123")
		synctest.Wait()
		if peer.Buffered() != 10 {
			t.Fatalf("%d bytes wait for the peer after it read some", peer.Buffered())
		}
		select {
		case err := <-done:
			t.Fatal("Write has returned", err)
		default:
		}
		wantRead(t, peer, "456789abcdefghij-")
		noError(t, <-done)

		noError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
		written, err := c.Write(sent)
		if written != 10 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d bytes: %v", written, err)
		}
	})
}

// A blocked Write ends when the peer goes, with all the ways it can.
func TestBlockedWriteEnds(t *testing.T) {
	for name, leave := range map[string]func(*Conn) error{"close": (*Conn).Close, "reset": (*Conn).Reset} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := (&Network{Buffer: 4}).Pipe()
				done := make(chan error, 1)
				go func() {
					_, err := c.Write(make([]byte, 5))
					done <- err
				}()
				synctest.Wait()
				noError(t, leave(peer))
				wantError(t, "Write", <-done, syscall.ECONNRESET)
			})
		})
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := (&Network{}).Pipe()
		start := time.Now()
		noError(t, c.SetReadDeadline(start.Add(3*time.Second)))
		wantReadError(t, c, os.ErrDeadlineExceeded)
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("Read failed after %v", got)
		}
		// Moved while a Read waits: only the last one counts.
		noError(t, c.SetReadDeadline(time.Time{}))
		done := make(chan error, 1)
		start = time.Now()
		go func() {
			_, err := c.Read(make([]byte, 1))
			done <- err
		}()
		for _, d := range []time.Duration{time.Second, time.Hour, time.Minute} {
			synctest.Wait()
			noError(t, c.SetReadDeadline(start.Add(d)))
		}
		wantError(t, "Read", <-done, os.ErrDeadlineExceeded)
		if got := time.Since(start); got != time.Minute {
			t.Errorf("Read failed after %v", got)
		}
		// A deadline ahead does not harm.
		noError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		write(t, peer, "x")
		wantRead(t, c, "x")
	})
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := Network{Latency: 50 * time.Millisecond}
		l := listen(t, &n, "192.0.2.10:9999")
		start := time.Now()
		c, err := n.Dial("192.0.2.10:9999")
		noError(t, err)
		wantElapsed(t, "Dial", start, n.Latency)
		s, err := l.Accept()
		noError(t, err)

		start = time.Now()
		write(t, c, "first")
		time.Sleep(20 * time.Millisecond)
		write(t, c, "second")
		noError(t, c.CloseWrite())
		wantElapsed(t, "Write", start, 20*time.Millisecond)
		wantRead(t, s, "first")
		wantElapsed(t, "the first Read", start, n.Latency)
		wantRead(t, s, "second")
		wantElapsed(t, "the second Read", start, n.Latency+20*time.Millisecond)
		wantReadError(t, s, io.EOF)
		wantElapsed(t, "EOF", start, n.Latency+20*time.Millisecond)

		start = time.Now()
		noError(t, s.(*Conn).Reset())
		wantReadError(t, c, syscall.ECONNRESET)
		wantElapsed(t, "RST", start, n.Latency)
	})
}

// wantElapsed is exact: time in a bubble is.
func wantElapsed(t *testing.T, what string, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Errorf("%s took %v, want %v", what, got, want)
	}
}

// Writes are the cuts that a reader sees, unless MaxRead cuts further.
func TestCuts(t *testing.T) {
	tests := []struct {
		name    string
		network *Network
		want    []string
	}{
		{"as written", &Network{}, []string{"one", "three", "x"}},
		{"a buffer cuts", &Network{Buffer: 5}, []string{"one", "th", "ree", "x"}},
		{"MaxRead", &Network{MaxRead: 2}, []string{"on", "e", "th", "re", "e", "x"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := test.network.Pipe()
				go func() {
					for _, text := range []string{"one", "three", "x"} {
						_, _ = c.Write([]byte(text))
					}
				}()
				synctest.Wait()
				b := make([]byte, 100)
				for _, want := range test.want {
					n, err := peer.Read(b)
					noError(t, err)
					if string(b[:n]) != want {
						t.Errorf("read %q, want %q", b[:n], want)
					}
					synctest.Wait()
				}
			})
		})
	}
}

// Many bytes, both ways at once, arrive as they were sent.
func TestBothWays(t *testing.T) {
	const size = 1 << 20
	c, s := (&Network{Buffer: 1000}).Pipe()
	var want bytes.Buffer
	noError(t, WriteFiller(&want, size))
	copyDone := make(chan error, 3)
	go func() {
		_, err := io.Copy(s, s)
		_ = s.CloseWrite()
		copyDone <- err
	}()
	go func() {
		err := WriteFiller(c, size)
		_ = c.CloseWrite()
		copyDone <- err
	}()
	got, err := io.ReadAll(c)
	noError(t, err)
	for range 2 {
		noError(t, <-copyDone)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes came back, other than the %d sent", len(got), size)
	}
}
