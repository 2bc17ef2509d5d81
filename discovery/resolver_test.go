package discovery

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// nameServer answers questions for addresses of IPv4 with one, or with a failure, and
// all others with none.
type nameServer struct{ fails atomic.Bool }

func (s *nameServer) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go s.serve(ours)
	return theirs, nil
}

// serve answers as over TCP: net.Pipe keeps no datagrams apart.
func (s *nameServer) serve(c net.Conn) {
	defer c.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		m := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(c, m); err != nil {
			return
		}
		end := 12 // of the header
		for m[end] != 0 {
			end += 1 + int(m[end])
		}
		isA := binary.BigEndian.Uint16(m[end+1:]) == 1
		m = m[:end+5]
		copy(m[2:], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}) // a response with the question alone
		switch {
		case isA && s.fails.Load():
			m[3] |= 2 // SERVFAIL
		case isA:
			m[7] = 1
			m = append(m, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 192, 0, 2, 11)
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)); err != nil {
			return
		}
	}
}

// TestDNSHalfAnswered: that a name has no addresses of IPv6 does not mean that it does
// not exist while nobody can tell those of IPv4.
func TestDNSHalfAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var server nameServer
		l := newListener()
		s, err := NewDNS(DNSConfig{
			Cluster: "lab", Name: "daemons.lab.:5555", Log: l.log, Events: l.events(),
			Resolver: resolver(&net.Resolver{PreferGo: true, Dial: server.dial}),
		})
		if err != nil {
			t.Fatal(err)
		}
		run(t, s, l.set)
		time.Sleep(time.Second)
		if sets := l.take(); len(sets) != 1 || sets[0] != "1:5555" {
			t.Fatalf("at first: %q", sets)
		}
		server.fails.Store(true)
		time.Sleep(time.Hour)
		if sets := l.take(); len(sets) > 0 {
			t.Errorf("while the name server failed: %q", sets)
		}
		if failures := l.failed(); failures[ReasonServer] == 0 || len(failures) != 1 {
			t.Errorf("failures %v", failures)
		}
	})
}
