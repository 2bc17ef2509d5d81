//go:build linux

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// startDaemon runs serve in this process until the test ends and returns its
// address. A complaint of the daemon fails the test.
func startDaemon(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var log bytes.Buffer
	go func() { done <- serve(ctx, ln.(*net.TCPListener), &log) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if log.Len() > 0 {
			t.Error(log.String())
		}
	})
	return ln.Addr().String()
}

func TestSmoke(t *testing.T) {
	for _, test := range []struct {
		name                        string
		conns, request, reply, each int
	}{
		{"small", 8, 64, 64, 50},
		{"least", 1, replySizeLen, 0, 20},
		{"just small", 2, smallMessage - headSize, smallMessage - headSize, 20},
		{"just large", 2, smallMessage - headSize + 1, smallMessage - headSize + 1, 20},
		{"large", 3, 1<<20 + 1, 1<<20 + 3, 10},
		{"large request", 2, 300_000, 10, 20},
		{"large reply", 2, 10, 300_000, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			result, err := runLoad(t.Context(), loadSpec{
				Addr: startDaemon(t), Connections: test.conns, Request: test.request, Reply: test.reply,
				Duration: time.Minute, Calls: test.conns * test.each, Watch: os.Getpid(),
			})
			if err != nil {
				t.Fatal(err)
			}
			if want := test.conns * test.each; result.Calls != want {
				t.Errorf("%d calls measured, want %d", result.Calls, want)
			}
			if result.P50 <= 0 || result.P99 < result.P50 || result.CallsPerSecond <= 0 {
				t.Errorf("figures make no sense: %+v", result)
			}
		})
	}
}

// One session may mix sizes: the daemon leaves and re-enters its small path.
func TestDaemonChangesPath(t *testing.T) {
	conn, err := dial(t.Context(), startDaemon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	b := bulk{conn: conn}
	var prefix [headSize + replySizeLen]byte
	for i, size := range []struct{ request, reply int }{
		{64, 64}, {100_000, 64}, {64, 100_000}, {64, 64}, {100_000, 100_000}, {100_000, 0}, {4, 4},
	} {
		seq := uint16(i + 7)
		putInvoke(prefix[:], seq, size.request, size.reply)
		if err := b.send(prefix[:], size.request-replySizeLen); err != nil {
			t.Fatal(err)
		}
		var got [headSize]byte
		if _, err := io.ReadFull(conn, got[:]); err != nil {
			t.Fatal(err)
		}
		h, err := parseHead(got[:])
		if want := (head{kind: msgResult, seq: seq, data: size.reply}); h != want || err != nil {
			t.Fatalf("call %d: got %+v, %v, want %+v", i, h, err, want)
		}
		if err := b.discard(size.reply); err != nil {
			t.Fatal(err)
		}
	}
}

// Measuring against something that does not answer as it should must fail loudly.
func TestLoadRefusesWrongAnswers(t *testing.T) {
	ok := string(message(msgConnectOK, 0, connectOKBody))
	right := string(message(msgResult, 1, "1234"))
	for _, test := range []struct {
		name, handshake, answer, want string
	}{
		{"refused", string(message(msgConnectFail, 0, "no free workers")), "", "no free workers"},
		{"not Pyro", strings.Repeat("HTTP", 20), "", errNotPyro.Error()},
		{"closed before CONNECTOK", "", "", "waiting for CONNECTOK"},
		{"closed after CONNECTOK", ok, "", io.ErrUnexpectedEOF.Error()},
		{"cut reply", ok, right[:headSize+1], io.ErrUnexpectedEOF.Error()},
		{"wrong seq", ok, string(message(msgResult, 9, "1234")), "seq 9"},
		{"wrong size", ok, string(message(msgResult, 1, "123")), "3 bytes of data"},
		{"wrong type", ok, string(message(msgPing, 1, "1234")), "message type 6"},
		{"too much", ok, right + "x", "bytes after the reply"},
		{"garbage", ok, strings.Repeat("x", headSize+4), errNotPyro.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr := answerOnce(t, len(connectBody), test.handshake, 64, test.answer)
			_, err := runLoad(t.Context(), loadSpec{Addr: addr, Connections: 1, Request: 64, Reply: 4, Calls: 1, Duration: time.Minute})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

// answerOnce accepts one connection, and for two requests in turn takes the header and so
// many bytes, writes the answer, and after both or an empty answer closes.
func answerOnce(t *testing.T, firstBody int, first string, secondBody int, second string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.CopyN(io.Discard, conn, int64(headSize+firstBody))
		if io.WriteString(conn, first); first != "" {
			io.CopyN(io.Discard, conn, int64(headSize+secondBody))
			io.WriteString(conn, second)
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

func TestLoadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	spec := loadSpec{Addr: startDaemon(t), Connections: 4, Request: 64, Reply: 64, Duration: time.Hour}
	if _, err := runLoad(ctx, spec); err == nil {
		t.Error("an hour of load ended without an error")
	}
}
