//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// blobListener is a listener of a topic: a daemon with one object, which takes blobs in
// either protocol and notes which they were. The dispatcher waits for it.
type blobListener struct {
	object string
	ln     *net.TCPListener

	mu     sync.Mutex
	ledger blobLedger
}

// blobLedger is what a listener got since the last time it was asked.
type blobLedger struct {
	Received int      `json:"received"`
	Wrong    int      `json:"wrong"` // twice, not in its client's order, for another object, or no blob
	First    string   `json:"first,omitempty"`
	next     []uint32 // the number that each client's next blob has to have
}

// note counts a blob, which has to be the client's next.
func (l *blobListener) note(client int, number uint32, complaint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.ledger.next) <= client {
		l.ledger.next = append(l.ledger.next, 0)
	}
	if complaint == "" && l.ledger.next[client] != number {
		complaint = fmt.Sprintf("blob %d of client %d instead of %d", number, client, l.ledger.next[client])
	}
	l.ledger.next[client] = number + 1
	l.ledger.Received++
	if complaint != "" {
		if l.ledger.Wrong == 0 {
			l.ledger.First = complaint
		}
		l.ledger.Wrong++
	}
}

// take returns the ledger and begins a new one.
func (l *blobListener) take() blobLedger {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.ledger
	l.ledger = blobLedger{}
	return taken
}

// serve accepts dispatchers until its socket is closed.
func (l *blobListener) serve(ctx context.Context, log io.Writer) error {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		conn, err := l.ln.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		sessions.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			err := l.session(conn)
			if ctx.Err() == nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
				fmt.Fprintf(log, "%s: %s: %v\n", l.object, conn.RemoteAddr(), err)
			}
		})
	}
}

// session returns when its connection ends, with an error always.
func (l *blobListener) session(conn net.Conn) error {
	in := newIncoming(conn)
	out := make([]byte, 0, headSize+len(serpentNone))
	for {
		h, annotations, data, err := in.head(blobIDRange)
		if err != nil {
			return err
		}
		var reply []byte
		switch {
		case h.kind == msgConnect && h.serializer == serializerSerpent:
			if !bytes.Contains(data, []byte(l.object)) {
				// As both libraries have it. A dispatcher may ask like that whether a daemon is there.
				_, err := conn.Write(serpentMessage(h.protocol, msgConnectFail, 0, h.seq, "'unknown object'"))
				return errors.Join(io.EOF, err)
			}
			reply = serpentMessage(h.protocol, msgConnectOK, h.flags&h.protocol.flagMeta(), h.seq,
				`{'handshake':'hello','meta':{'methods':('`+blobMethod+`',),'oneway':(),'attrs':()}}`)
		case h.kind == msgPing:
			reply = serpentMessage(h.protocol, msgPing, 0, h.seq, pongBody)
		case h.kind == msgInvoke && h.serializer == serializerSerpent:
			l.noteCall(h, annotations, data)
			answer := blobHead{protocol: h.protocol, kind: msgResult, serializer: h.serializer, seq: h.seq, data: len(serpentNone)}
			reply = out[:answer.protocol.headSize()]
			answer.put(reply)
			reply = append(reply, serpentNone...)
		default:
			return fmt.Errorf("%w: message type %d, serializer %d", errNotPyro, h.kind, h.serializer)
		}
		if err := in.drop(h); err != nil {
			return err
		}
		if _, err := conn.Write(reply); err != nil {
			return err
		}
	}
}

// noteCall notes which blob a call has brought. It has no decoder: that the annotation names
// this listener, and the payload is the client's, shows in their bytes.
func (l *blobListener) noteCall(h blobHead, annotations, data []byte) {
	complaint := ""
	switch {
	case h.flags&h.protocol.flagBlob() == 0 || h.flags&flagException != 0:
		complaint = fmt.Sprintf("a call with flags %#x", h.flags)
	case !bytes.Contains(annotations, []byte("BLBI")) || !bytes.Contains(annotations, []byte(l.object)):
		complaint = fmt.Sprintf("a call with annotations %q", annotations)
	}
	_, id, marked := bytes.Cut(data, []byte(blobMark))
	if !marked || len(id) < blobIDSize {
		l.note(0, 0, fmt.Sprintf("no blob of ours: %.100q", data))
		return
	}
	// Without fmt, which would take longer than the rest.
	client, err1 := strconv.ParseUint(string(id[:4]), 16, 16)
	number, err2 := strconv.ParseUint(string(id[4:blobIDSize]), 16, 32)
	if errors.Join(err1, err2) != nil {
		complaint = fmt.Sprintf("no blob of ours: %.100q", data)
	}
	l.note(int(client), uint32(number), complaint)
}

// listenerObject is the object id of a listener.
func listenerObject(i int) string { return "bench.listener." + strconv.Itoa(i) }

// blobListeners opens so many listeners at ports of their own.
func blobListeners(n int) ([]*blobListener, error) {
	var all []*blobListener
	for i := range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		all = append(all, &blobListener{object: listenerObject(i), ln: ln.(*net.TCPListener)})
	}
	return all, nil
}

// listenCommand runs listeners, prints their addresses as JSON in a line, and for each line on
// its standard input their ledgers. It ends with its standard input.
func listenCommand(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all, err := blobListeners(n)
	if err != nil {
		return err
	}
	var addresses []string
	for _, l := range all {
		addresses = append(addresses, l.ln.Addr().String())
		go func() {
			if err := l.serve(ctx, os.Stderr); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(addresses); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		ledgers := []blobLedger{}
		for _, l := range all {
			ledgers = append(ledgers, l.take())
		}
		if err := out.Encode(ledgers); err != nil {
			return err
		}
	}
	return nil
}
