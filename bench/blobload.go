//go:build linux

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// blobSpec says whom to send blobs, and how.
type blobSpec struct {
	Addr     string // of the dispatcher
	Protocol protocol
	Object   string // the dispatcher's object id
	Topic    string
	Clients  int
	Size     int // bytes of data in each call, all of it
	Warmup   time.Duration
	Duration time.Duration
	Watch    int // process whose CPU time to measure; 0 for none
}

// blobResult has the figures of the measured blobs.
type blobResult struct {
	loadResult
	Sent int `json:"sent"` // with those of the warming up
}

// runBlobs opens the clients, warms up and measures, as runLoad does for plain calls.
func runBlobs(ctx context.Context, spec blobSpec) (blobResult, error) {
	clients := make([]*blobClient, spec.Clients)
	shut := func() {
		for _, c := range clients {
			if c != nil {
				c.in.conn.Close()
			}
		}
	}
	defer shut()
	for i := range clients {
		var err error
		if clients[i], err = dialBlobs(ctx, spec, i); err != nil {
			return blobResult{}, fmt.Errorf("client %d of %d: %w", i+1, spec.Clients, err)
		}
	}
	defer context.AfterFunc(ctx, shut)()
	if _, err := sendAll(clients, spec.Warmup); err != nil {
		return blobResult{}, fmt.Errorf("warming up: %w", err)
	}
	before, err := cpuTime(spec.Watch)
	if err != nil {
		return blobResult{}, err
	}
	result, err := sendAll(clients, spec.Duration)
	if err != nil {
		return blobResult{}, err
	}
	after, err := cpuTime(spec.Watch)
	if err != nil {
		return blobResult{}, err
	}
	result.CPU = after - before
	all := blobResult{loadResult: result}
	for _, c := range clients {
		all.Sent += int(c.number)
	}
	return all, nil
}

// sendAll lets every client send blobs for the duration, at least one each.
func sendAll(clients []*blobClient, duration time.Duration) (loadResult, error) {
	var group errgroup.Group
	start := time.Now()
	for i, c := range clients {
		group.Go(func() error {
			if err := c.send(start, duration); err != nil {
				return fmt.Errorf("client %d of %d, after %d blobs: %w", i+1, len(clients), c.number, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return loadResult{}, err
	}
	var all histogram
	var perSecond float64
	for _, c := range clients {
		all.merge(&c.latency)
		perSecond += float64(c.latency.total) / c.took.Seconds()
	}
	return loadResult{Calls: int(all.total), CallsPerSecond: perSecond, P50: all.quantile(0.50), P99: all.quantile(0.99)}, nil
}

// blobClient sends blobs over one connection, the next as soon as the last is answered.
type blobClient struct {
	in      *incoming
	call    []byte // the whole message
	id      []byte // where in it the blob's id is
	head    blobHead
	client  int
	number  uint32
	took    time.Duration
	latency histogram
}

func dialBlobs(ctx context.Context, spec blobSpec, client int) (*blobClient, error) {
	call, idAt, err := blobCall(spec.Protocol, spec.Object, spec.Topic, spec.Size)
	if err != nil {
		return nil, err
	}
	head, err := parseBlobHead(call)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: stuck}).DialContext(ctx, "tcp", spec.Addr)
	if err != nil {
		return nil, err
	}
	c := &blobClient{in: newIncoming(conn), call: call, id: call[idAt : idAt+blobIDSize], head: head, client: client}
	if err := c.connect(spec); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *blobClient) connect(spec blobSpec) error {
	if err := c.in.conn.SetDeadline(time.Now().Add(stuck)); err != nil {
		return err
	}
	hello := serpentMessage(spec.Protocol, msgConnect, spec.Protocol.flagMeta(), 0, fmt.Sprintf("{'handshake':'hello','object':'%s'}", spec.Object))
	if _, err := c.in.conn.Write(hello); err != nil {
		return fmt.Errorf("sending CONNECT: %w", err)
	}
	h, _, data, err := c.in.head(blobIDRange)
	if err != nil {
		return fmt.Errorf("waiting for CONNECTOK: %w", err)
	}
	if h.kind != msgConnectOK || h.protocol != spec.Protocol {
		return fmt.Errorf("CONNECT was answered by message type %d: %.300q", h.kind, data)
	}
	if !strings.Contains(string(data), blobMethod) && h.data <= blobIDRange {
		return fmt.Errorf("%s has no method %s: %.300q", spec.Object, blobMethod, data)
	}
	return c.in.drop(h)
}

// send sends blobs from start until the duration has passed.
func (c *blobClient) send(start time.Time, duration time.Duration) error {
	c.latency = histogram{}
	if err := c.in.conn.SetDeadline(start.Add(duration + stuck)); err != nil {
		return err
	}
	for sent := time.Since(start); ; {
		c.next()
		if _, err := c.in.conn.Write(c.call); err != nil {
			return err
		}
		if err := c.answer(); err != nil {
			return err
		}
		now := time.Since(start)
		c.latency.add(now - sent)
		sent = now
		if now >= duration {
			c.took = now
			return nil
		}
	}
}

// next makes call the next blob's.
func (c *blobClient) next() {
	id := [6]byte{byte(c.client >> 8), byte(c.client), byte(c.number >> 24), byte(c.number >> 16), byte(c.number >> 8), byte(c.number)}
	hex.Encode(c.id, id[:])
	c.number++
	c.head.seq++
	c.head.put(c.call)
}

// answer reads the answer, which has to be None.
func (c *blobClient) answer() error {
	const peek = 4 << 10 // an exception and its traceback
	h, _, data, err := c.in.head(peek)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if h.kind != msgResult || h.protocol != c.head.protocol || h.seq != c.head.seq || h.serializer != serializerSerpent {
		return fmt.Errorf("a blob with seq %d was answered by %+v: %.300q", c.head.seq, h, data)
	}
	if h.flags&flagException != 0 || !strings.HasSuffix(string(data), "\nNone") || h.data != len(data) {
		return errors.Join(errBlobRefused, fmt.Errorf("%.600q", data))
	}
	return c.in.drop(h)
}

// errBlobRefused: the dispatcher answered a blob with something else than None.
var errBlobRefused = errors.New("a blob was not answered with None")
