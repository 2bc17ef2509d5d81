//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// loadSpec says what to call and how; sizes are bytes of data, without headers.
type loadSpec struct {
	Addr           string
	Connections    int
	Request, Reply int
	Warmup         time.Duration
	Duration       time.Duration
	Calls          int // in all; 0 for no limit
	Watch          int // process whose CPU time to measure; 0 for none
}

// loadResult has the figures of the measured calls, durations in nanoseconds.
type loadResult struct {
	Calls          int           `json:"calls"`
	CallsPerSecond float64       `json:"calls_per_second"`
	P50            time.Duration `json:"p50_ns"`
	P99            time.Duration `json:"p99_ns"`
	CPU            time.Duration `json:"cpu_ns"` // of the watched process, user and system
}

// stuck is how long a call may take beyond the time asked for.
const stuck = 20 * time.Second

// runLoad opens the connections, warms up, and measures: every connection starts
// together, stops with the call that passes the time, and only when all are done is
// the watched process' CPU time read again. So each call that cost it CPU is counted whole.
func runLoad(ctx context.Context, spec loadSpec) (loadResult, error) {
	callers, err := openCallers(ctx, spec)
	defer closeCallers(callers)
	if err != nil {
		return loadResult{}, err
	}
	stop := context.AfterFunc(ctx, func() { closeCallers(callers) })
	defer stop()
	if _, err := callAll(callers, spec.Warmup, 0); err != nil {
		return loadResult{}, fmt.Errorf("warming up: %w", err)
	}
	limit := 0
	if spec.Calls > 0 {
		limit = max(spec.Calls/spec.Connections, 1)
	}
	before, err := cpuTime(spec.Watch)
	if err != nil {
		return loadResult{}, err
	}
	result, err := callAll(callers, spec.Duration, limit)
	if err != nil {
		return loadResult{}, err
	}
	after, err := cpuTime(spec.Watch)
	if err != nil {
		return loadResult{}, err
	}
	result.CPU = after - before
	return result, nil
}

// openCallers connects and shakes hands. The callers it returns are to be closed, after an error too.
func openCallers(ctx context.Context, spec loadSpec) ([]*caller, error) {
	if spec.Connections < 1 || spec.Request < replySizeLen || spec.Request > maxBody || spec.Reply < 0 || spec.Reply > maxBody {
		return nil, fmt.Errorf("%d connections with requests of %d and replies of %d bytes: need at least 1, %d and 0, and at most %d bytes",
			spec.Connections, spec.Request, spec.Reply, replySizeLen, maxBody)
	}
	callers := make([]*caller, spec.Connections)
	const atOnce = 32 // well within a default accept backlog
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range callers {
		group.Go(func() error {
			conn, err := dial(ctx, spec.Addr)
			if err != nil {
				return fmt.Errorf("connection %d of %d: %w", i+1, spec.Connections, err)
			}
			callers[i], err = newCaller(conn, spec.Request, spec.Reply)
			return err
		})
	}
	return callers, group.Wait()
}

func closeCallers(callers []*caller) {
	for _, c := range callers {
		if c != nil {
			c.conn.Close()
		}
	}
}

// dial opens a session: a connection with its handshake done.
func dial(ctx context.Context, addr string) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, stuck)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = handshake(conn)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// callAll lets every caller make calls for the duration, at least one each and at
// most limit each (0: no limit), and returns what they measured together, without CPU.
func callAll(callers []*caller, duration time.Duration, limit int) (loadResult, error) {
	var group errgroup.Group
	start := time.Now()
	for i, c := range callers {
		group.Go(func() error {
			if err := c.call(start, duration, limit); err != nil {
				return fmt.Errorf("connection %d of %d, after %d calls: %w", i+1, len(callers), c.latency.total, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return loadResult{}, err
	}
	var all histogram
	var perSecond float64
	for _, c := range callers {
		all.merge(&c.latency)
		// Each by its own end: with few long calls the last ones overlap badly.
		perSecond += float64(c.latency.total) / c.sent.Seconds()
	}
	return loadResult{Calls: int(all.total), CallsPerSecond: perSecond, P50: all.quantile(0.50), P99: all.quantile(0.99)}, nil
}

// caller makes calls on one connection, the next as soon as the reply to the last is here.
type caller struct {
	bulk
	raw     syscall.RawConn
	request int // bytes of data
	reply   int

	out  []byte // a small request, or the beginning of a large one
	in   []byte // a small reply, and a byte too many to notice one
	have int
	seq  uint16

	start   time.Time // of this round of calls
	until   time.Duration
	limit   uint64
	sent    time.Duration // since start: of the call in flight, and in the end of the last reply
	latency histogram
	err     error
}

func newCaller(conn *net.TCPConn, request, reply int) (*caller, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	c := &caller{bulk: bulk{conn: conn}, raw: raw, request: request, reply: reply}
	if c.large() {
		c.out = make([]byte, headSize+replySizeLen)
	} else {
		c.out = make([]byte, headSize+request)
		c.in = make([]byte, headSize+reply+1)
	}
	putInvoke(c.out, 0, request, reply)
	return c, nil
}

func (c *caller) large() bool {
	return headSize+max(c.request, c.reply) > smallMessage
}

// call makes calls from start until the duration has passed; see callAll.
func (c *caller) call(start time.Time, duration time.Duration, limit int) error {
	c.start, c.until, c.limit = start, duration, uint64(limit)
	c.latency = histogram{}
	if err := c.conn.SetDeadline(start.Add(duration + stuck)); err != nil {
		return err
	}
	c.sent = time.Since(start)
	if c.large() {
		return c.callLarge()
	}
	c.next()
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	if err := c.raw.Read(c.callSmall); err != nil {
		return err
	}
	return c.err
}

// next prepares the header for a new call.
func (c *caller) next() {
	c.seq++
	putSeq(c.out, c.seq)
	c.have = 0
}

// done counts a call whose reply is here; it is true if that was the last.
func (c *caller) done() bool {
	now := time.Since(c.start)
	c.latency.add(now - c.sent)
	c.sent = now
	return now >= c.until || c.latency.total == c.limit
}

// callSmall is called when the socket may be readable; true ends the calls. Once a
// reply is whole nothing more can come, so there is no read that only says so. In the
// middle of one there is: its rest and the end of the stream may be one event.
func (c *caller) callSmall(fd uintptr) (leave bool) {
	for whole := false; !whole; whole = c.have >= headSize+c.reply {
		n, err := readNow(fd, c.in[c.have:])
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			c.err = err
			return true
		}
		if n == 0 {
			return false
		}
		c.have += n
		if c.have < headSize {
			continue
		}
		if c.err = c.checkReply(c.in); c.err != nil {
			return true
		}
	}
	if c.have > headSize+c.reply {
		c.err = errors.New("bytes after the reply")
		return true
	}
	if c.done() {
		return true
	}
	c.next()
	if w, err := syscall.Write(int(fd), c.out); w != len(c.out) {
		c.err = fmt.Errorf("calling: wrote %d of %d bytes: %w", w, len(c.out), err)
		return true
	}
	return false
}

func (c *caller) callLarge() error {
	var b [headSize]byte
	for {
		c.next()
		if err := c.send(c.out, c.request-replySizeLen); err != nil {
			return err
		}
		if _, err := io.ReadFull(c.conn, b[:]); err != nil {
			return err
		}
		if err := c.checkReply(b[:]); err != nil {
			return err
		}
		if err := c.discard(c.reply); err != nil {
			return err
		}
		if c.done() {
			return nil
		}
	}
}

// checkReply compares the header in b with the call in flight.
func (c *caller) checkReply(b []byte) error {
	h, err := parseHead(b)
	if err != nil {
		return err
	}
	if h.kind != msgResult || h.seq != c.seq || h.data != c.reply || h.anns != 0 {
		return fmt.Errorf("call %d for %d bytes was answered by message type %d, seq %d, %d bytes of data, %d of annotations",
			c.seq, c.reply, h.kind, h.seq, h.data, h.anns)
	}
	return nil
}
