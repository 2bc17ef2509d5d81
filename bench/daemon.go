//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
)

// serve accepts sessions until ctx ends, then closes them and waits for their
// ends. What goes wrong with one session is told to log.
func serve(ctx context.Context, ln *net.TCPListener, log io.Writer) error {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		conn, err := ln.AcceptTCP()
		if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		sessions.Go(func() {
			if err := serveSession(ctx, conn); err != nil {
				fmt.Fprintf(log, "bench daemon: %s: %v\n", conn.RemoteAddr(), err)
			}
		})
	}
}

// serveSession returns an error only if it is of interest: clients leave as they like.
func serveSession(ctx context.Context, conn *net.TCPConn) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	s := &session{bulk: bulk{conn: conn}, owed: -1}
	err := s.serve()
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || ctx.Err() != nil {
		return nil
	}
	return err
}

// session is one client's connection. Small calls are answered inside one
// RawConn.Read for as long as the client makes no large ones: that saves the read
// that says EAGAIN before every wait, a third of the session's system calls.
type session struct {
	bulk
	in   [smallMessage]byte
	have int // bytes of in that are filled
	out  [smallMessage]byte

	// What answerSmall leaves to serve when it returns true.
	large bool // in begins a request that does not fit
	owed  int  // bytes of data of a reply that is too large for out, or -1
	seq   uint16
	err   error
}

func (s *session) serve() error {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	for {
		if err := raw.Read(s.answerSmall); err != nil {
			return err
		}
		if s.err == nil && s.large {
			s.err = s.takeLarge()
		}
		if s.err == nil && s.owed >= 0 {
			s.err = s.replyLarge()
		}
		if s.err != nil {
			return s.err
		}
	}
}

// answerSmall is called when the socket may be readable. It returns false to wait
// for more, and true to have serve look at large, owed and err. The poller is
// edge-triggered: a read that fills less than it was offered needs no second one.
func (s *session) answerSmall(fd uintptr) (leave bool) {
	for {
		free := s.in[s.have:]
		n, err := readNow(fd, free)
		if err != nil {
			s.err = err
			return true
		}
		if n == 0 {
			return false
		}
		s.have += n
		if s.answerAll(int(fd)) {
			return true
		}
		if n < len(free) && s.have == 0 {
			return false
		}
		// With a part of a request here, its rest and the end of the stream may be one event.
	}
}

// answerAll answers the requests that are whole in in. It returns true if serve has to go on.
func (s *session) answerAll(fd int) (leave bool) {
	for s.have >= headSize {
		h, err := parseHead(s.in[:])
		if err != nil {
			s.err = err
			return true
		}
		whole := headSize + h.body()
		if whole > len(s.in) {
			s.large = true
			return true
		}
		if s.have < whole {
			return false
		}
		n := s.answer(h, s.in[headSize+h.anns:whole])
		s.have = copy(s.in[:], s.in[whole:s.have])
		if s.err != nil || s.owed >= 0 {
			return true
		}
		// A client that has one call in flight has read every earlier reply: there is room.
		if w, err := syscall.Write(fd, s.out[:n]); w != n {
			s.err = fmt.Errorf("answering: wrote %d of %d bytes: %w", w, n, err)
			return true
		}
	}
	return false
}

// answer puts the reply to a request into out and returns its length, or sets owed.
func (s *session) answer(h head, data []byte) int {
	switch h.kind {
	case msgInvoke:
		if len(data) < replySizeLen {
			s.err = fmt.Errorf("%w: INVOKE without a reply size", errNotPyro)
			return 0
		}
		return s.result(h.seq, data)
	case msgConnect:
		return copy(s.out[:], message(msgConnectOK, h.seq, connectOKBody))
	case msgPing:
		return copy(s.out[:], message(msgPing, h.seq, pongBody))
	}
	s.err = fmt.Errorf("%w: message type %d", errNotPyro, h.kind)
	return 0
}

// result answers an INVOKE whose data begins with the wanted reply size.
func (s *session) result(seq uint16, data []byte) int {
	size := int(binary.BigEndian.Uint32(data))
	if size > maxBody {
		s.err = fmt.Errorf("%w: a reply of %d bytes wanted", errNotPyro, size)
		return 0
	}
	if headSize+size > len(s.out) {
		s.seq, s.owed = seq, size
		return 0
	}
	putHead(s.out[:], msgResult, seq, size)
	return headSize + size // the rest of out is zero, or a handshake's leftovers
}

// takeLarge reads the rest of a request that does not fit into in. It always
// leaves the reply to replyLarge, whatever its size.
func (s *session) takeLarge() error {
	h, err := parseHead(s.in[:])
	if err != nil {
		return err
	}
	if h.kind != msgInvoke {
		return fmt.Errorf("%w: message type %d with %d bytes", errNotPyro, h.kind, h.body())
	}
	start := headSize + h.anns
	if start+replySizeLen > len(s.in) {
		return fmt.Errorf("%w: %d bytes of annotations", errNotPyro, h.anns)
	}
	if missing := start + replySizeLen - s.have; missing > 0 {
		n, err := io.ReadAtLeast(s.conn, s.in[s.have:start+replySizeLen], missing)
		s.have += n
		if err != nil {
			return err
		}
	}
	s.seq, s.owed = h.seq, int(binary.BigEndian.Uint32(s.in[start:]))
	if s.owed > maxBody {
		return fmt.Errorf("%w: a reply of %d bytes wanted", errNotPyro, s.owed)
	}
	rest := headSize + h.body() - s.have // a large request is more than in holds
	s.large, s.have = false, 0
	return s.discard(rest)
}

// replyLarge sends a reply outside answerSmall, where it may wait for the socket.
func (s *session) replyLarge() error {
	var b [headSize]byte
	putHead(b[:], msgResult, s.seq, s.owed)
	n := s.owed
	s.owed = -1
	return s.send(b[:], n)
}
