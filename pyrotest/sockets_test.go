package pyrotest

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// halfCloser is what the tests below need of both kinds of connections.
type halfCloser interface {
	net.Conn
	CloseWrite() error
	SetLinger(int) error
}

// TestLikeTCP holds the same scenarios against this package's connections and
// against real sockets on loopback: the errors must be the same ones.
func TestLikeTCP(t *testing.T) {
	scenarios := []struct {
		name string
		run  func(t *testing.T, c, peer halfCloser)
	}{
		{"bytes", func(t *testing.T, c, peer halfCloser) {
			write(t, peer, "hello")
			wantRead(t, c, "hello")
		}},
		{"after close", func(t *testing.T, c, _ halfCloser) {
			noError(t, c.Close())
			wantReadError(t, c, net.ErrClosed)
			wantWriteError(t, c, net.ErrClosed)
			wantError(t, "CloseWrite", c.CloseWrite(), net.ErrClosed)
			wantError(t, "Close", c.Close(), net.ErrClosed)
			wantError(t, "SetDeadline", c.SetDeadline(time.Now()), net.ErrClosed)
			wantError(t, "SetLinger", c.SetLinger(0), net.ErrClosed)
		}},
		{"peer closes", func(t *testing.T, c, peer halfCloser) {
			write(t, peer, "last words")
			noError(t, peer.Close())
			wantRead(t, c, "last words")
			wantReadError(t, c, io.EOF)
			wantReadError(t, c, io.EOF)
			write(t, c, "into the void")
			eventually(t, c, syscall.EPIPE)
			wantReadError(t, c, io.EOF)
		}},
		{"peer half-closes", func(t *testing.T, c, peer halfCloser) {
			write(t, peer, "question")
			noError(t, peer.CloseWrite())
			wantRead(t, c, "question")
			wantReadError(t, c, io.EOF)
			write(t, c, "answer")
			wantRead(t, peer, "answer")
			wantWriteError(t, peer, syscall.EPIPE)
			noError(t, c.Close())
			wantReadError(t, peer, io.EOF)
		}},
		{"peer resets", func(t *testing.T, c, peer halfCloser) {
			write(t, peer, "last words")
			noError(t, peer.SetLinger(0))
			noError(t, peer.Close())
			wantRead(t, c, "last words")
			wantReadError(t, c, syscall.ECONNRESET)
			wantWriteError(t, c, syscall.EPIPE)
		}},
		{"peer resets, we write", func(t *testing.T, c, peer halfCloser) {
			noError(t, peer.SetLinger(0))
			noError(t, peer.Close())
			eventually(t, c, syscall.ECONNRESET)
			wantWriteError(t, c, syscall.EPIPE)
		}},
		{"peer closes with unread bytes", func(t *testing.T, c, peer halfCloser) {
			write(t, c, "12")
			one := make([]byte, 1)
			if _, err := peer.Read(one); err != nil {
				t.Fatal(err)
			}
			write(t, peer, "last words")
			noError(t, peer.Close())
			wantRead(t, c, "last words")
			wantReadError(t, c, syscall.ECONNRESET)
		}},
		{"peer half-closes, then resets", func(t *testing.T, c, peer halfCloser) {
			noError(t, peer.CloseWrite())
			wantReadError(t, c, io.EOF)
			noError(t, peer.SetLinger(0))
			noError(t, peer.Close())
			eventually(t, c, syscall.EPIPE)
			wantReadError(t, c, io.EOF)
		}},
		{"deadlines", func(t *testing.T, c, peer halfCloser) {
			write(t, peer, "early")
			noError(t, c.SetDeadline(time.Now().Add(-time.Second)))
			wantReadError(t, c, os.ErrDeadlineExceeded)
			wantWriteError(t, c, os.ErrDeadlineExceeded)
			noError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
			wantRead(t, c, "early")
			noError(t, c.SetWriteDeadline(time.Time{}))
			write(t, c, "x")
		}},
		{"a deadline ends a Read under way", func(t *testing.T, c, _ halfCloser) {
			failed := make(chan error, 1)
			go func() {
				_, err := c.Read(make([]byte, 1))
				failed <- err
			}()
			noError(t, c.SetReadDeadline(time.Now()))
			wantError(t, "Read", <-failed, os.ErrDeadlineExceeded)
		}},
		{"Close ends a Write under way", func(t *testing.T, c, _ halfCloser) {
			failed := make(chan error, 1)
			go func() {
				b := make([]byte, 1<<20)
				for {
					if _, err := c.Write(b); err != nil {
						failed <- err
						return
					}
				}
			}()
			noError(t, c.Close())
			wantError(t, "Write", <-failed, net.ErrClosed)
		}},
		{"empty slices", func(t *testing.T, c, _ halfCloser) {
			if n, err := c.Read(nil); n != 0 || err != nil {
				t.Error(n, err)
			}
			if n, err := c.Write(nil); n != 0 || err != nil {
				t.Error(n, err)
			}
		}},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Run("sockets", func(t *testing.T) {
				c, peer := socketPair(t)
				s.run(t, c, peer)
			})
			t.Run("network", func(t *testing.T) {
				c, peer := (&Network{}).Pipe()
				t.Cleanup(func() { _, _ = c.Close(), peer.Close() })
				s.run(t, c, peer)
			})
			t.Run("slow network", func(t *testing.T) {
				c, peer := (&Network{Latency: time.Millisecond}).Pipe()
				t.Cleanup(func() { _, _ = c.Close(), peer.Close() })
				s.run(t, c, peer)
			})
		})
	}
}

func socketPair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	noError(t, err)
	s, err := l.Accept()
	noError(t, err)
	t.Cleanup(func() { _, _ = c.Close(), s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("wrote %d bytes: %v", n, err)
	}
}

func wantRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b[:n], err, want)
	}
}

func wantReadError(t *testing.T, c net.Conn, want error) {
	t.Helper()
	n, err := c.Read(make([]byte, 10))
	if n != 0 {
		t.Fatalf("read %d bytes", n)
	}
	wantError(t, "Read", err, want)
}

func wantWriteError(t *testing.T, c net.Conn, want error) {
	t.Helper()
	_, err := c.Write([]byte("x"))
	wantError(t, "Write", err, want)
}

// eventually writes until the peer's RST is here.
func eventually(t *testing.T, c net.Conn, want error) {
	t.Helper()
	var err error
	WaitFor(t, "a Write fails", func() bool {
		_, err = c.Write([]byte("x"))
		return err != nil
	})
	wantError(t, "Write", err, want)
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", what, err, want)
	}
	if want == io.EOF {
		if err != io.EOF {
			t.Errorf("%s: io.EOF comes wrapped", what)
		}
		return
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Fatalf("%s: %T, not a *net.OpError", what, err)
	}
	if op.Timeout() != (want == os.ErrDeadlineExceeded) {
		t.Errorf("%s: Timeout is %v", what, op.Timeout())
	}
}
