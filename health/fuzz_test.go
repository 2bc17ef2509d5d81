package health

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestCorpora: fuzz targets are only as good as their seeds, so the folders of
// committed ones must not vanish unnoticed.
func TestCorpora(t *testing.T) {
	for _, target := range []string{"FuzzProbe", "FuzzOutlier"} {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", target, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(seeds) == 0 {
			t.Errorf("%s has no seeds", target)
		}
		for _, seed := range seeds {
			b, err := os.ReadFile(seed)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(b, []byte("go test fuzz v1\n")) {
				t.Errorf("%s is not a seed", seed)
			}
		}
	}
}

// tape is a connection that gives the bytes that are on it, in pieces, and then
// the error. Where zeros is set there are so many more of them first.
type tape struct {
	net.Conn
	in    []byte
	zeros int
	piece int
	end   error

	read, written int
	longest       int // the buffer that was read into
}

func (c *tape) Read(b []byte) (int, error) {
	c.longest = max(c.longest, len(b))
	b = b[:min(len(b), c.piece)]
	n := copy(b, c.in)
	c.in = c.in[n:]
	if n == 0 && len(b) > 0 {
		if c.zeros == 0 {
			return 0, c.end
		}
		n = min(len(b), c.zeros)
		clear(b[:n])
		c.zeros -= n
	}
	c.read += n
	return n, nil
}

func (c *tape) Write(b []byte) (int, error) {
	c.written += len(b)
	return len(b), nil
}

// FuzzProbe: whatever a daemon answers, a probe comes to a finding that goes
// with its error, without reading more than the answers or holding much of
// them, and finds alive only what answers as it should.
func FuzzProbe(f *testing.F) {
	ok := wire.AppendHead(nil, wire.Head{Dialect: wire.V502, Type: wire.ConnectOK, SerializerID: 1, DataLen: 2})
	ok = append(ok, "hi"...)
	pong := wire.AppendPing(nil, wire.V502, wire.Serpent, pingSeq)
	full := wire.AppendConnectFail(nil, wire.Refusal{Dialect: wire.V48, Text: "no free workers"})
	f.Add(append(bytes.Clone(ok), pong...), uint16(0), byte(7), false, true)
	f.Add(append(bytes.Clone(ok), pong...), uint16(9), byte(255), true, false)
	f.Add(full, uint16(0), byte(1), true, true)
	f.Add(full[:20], uint16(0), byte(1), true, false)
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"), uint16(0), byte(200), false, false)
	f.Fuzz(func(t *testing.T, in []byte, zeros uint16, piece byte, v48, late bool) {
		conn := &tape{in: in, zeros: int(zeros) * 32, piece: int(piece) + 1, end: io.EOF}
		if late {
			conn.end = os.ErrDeadlineExceeded
		}
		d := wire.V502
		if v48 {
			d = wire.V48
		}
		got := Probe{Dialect: d}.Run(conn)
		if (got.Finding == Alive) != (got.Err == nil) {
			t.Fatalf("%s: %v", got.Finding, got.Err)
		}
		var head *wire.HeadError
		var other *DialectError
		fits := false
		switch got.Finding {
		case Alive:
			fits = got.Dialect == d && alive(in, d, int(zeros)*32)
		case Saturated:
			fits = errors.Is(got.Err, ErrSaturated) && got.Dialect == d
		case Refused:
			fits = errors.Is(got.Err, ErrConnectFail) && !errors.Is(got.Err, ErrSaturated) && got.Dialect == d
		case OtherDialect:
			fits = errors.As(got.Err, &other) && other.Answered == got.Dialect && other.Asked == d && got.Dialect != d
		case Unanswered:
			fits = late && errors.Is(got.Err, os.ErrDeadlineExceeded)
		case Closed:
			fits = !late && (errors.Is(got.Err, io.EOF) || errors.Is(got.Err, io.ErrUnexpectedEOF))
		case Garbled:
			fits = errors.As(got.Err, &head) || errors.Is(got.Err, ErrAnswer) || errors.Is(got.Err, ErrTooLong)
		}
		if !fits {
			t.Fatalf("%s, dialect %s: %v", got.Finding, got.Dialect, got.Err)
		}
		if conn.read > 2*(wire.MaxHeadLen+maxBody) || conn.longest > 32<<10 {
			t.Fatalf("read %d bytes, up to %d at once", conn.read, conn.longest)
		}
	})
}

// alive finds the two answers of a daemon that is well in b and the zeros behind
// it, in another way than the probe.
func alive(b []byte, d wire.Dialect, zeros int) bool {
	b = append(bytes.Clone(b), make([]byte, zeros)...)
	ok, err := wire.ParseHead(b)
	if err != nil || ok.Dialect != d || ok.Type != wire.ConnectOK || ok.Len() > int64(len(b)) {
		return false
	}
	b = b[ok.Len():]
	ping, err := wire.ParseHead(b)
	return err == nil && ping.Dialect == d && ping.Type == wire.Ping && ping.Seq == pingSeq && ping.Len() <= int64(len(b))
}

// FuzzOutlier has sequences of calls and ejections keep what Outlier promises,
// beside a model that remembers every call. Each byte of steps is a call, or
// lets time pass.
func FuzzOutlier(f *testing.F) {
	f.Add([]byte("\x01\x01\x01\x01\x80\x01\x01\x00\x01"), byte(3), byte(50), byte(4), byte(10), byte(30))
	f.Add([]byte("\x01\x00\x01\x00\x01\xff\x01\x01\x01\x01\xf0\x01\x01\x01"), byte(0), byte(40), byte(5), byte(2), byte(3))
	f.Add([]byte("\x01\x01\x01\x01"), byte(2), byte(0), byte(0), byte(0), byte(0))
	f.Fuzz(func(t *testing.T, steps []byte, inARow, ratio, calls, ejection, most byte) {
		c := OutlierConfig{
			ConsecutiveFailures: int(inARow), FailureRatio: int(ratio), MinimumCalls: int(calls),
			Window: 30 * time.Second, Ejection: time.Duration(ejection) * time.Second, MaxEjection: time.Duration(most) * time.Second,
		}
		o, m := NewOutlier(c), model{config: c}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for i, s := range steps {
			if s >= 2 {
				now = now.Add(time.Duration(s) * time.Second / 8)
				continue
			}
			failed := s == 1
			if now.Before(m.until) != o.Ejected(now) {
				t.Fatalf("step %d: ejected: %v", i, o.Ejected(now))
			}
			may, must := m.observe(now, failed)
			wants := o.Observe(now, failed)
			if wants && !may || !wants && must {
				t.Fatalf("step %d: wants ejection: %v, but may %v, must %v", i, wants, may, must)
			}
			if !wants {
				continue
			}
			if o.Why().String() == "" {
				t.Fatalf("step %d: wants ejection without a cause", i)
			}
			if i%3 > 0 { // otherwise the caller does not let it
				until := o.Eject(now)
				m.ejected(t, now, until)
			}
		}
	})
}

// model is an Outlier that remembers all calls.
type model struct {
	config OutlierConfig
	inARow int
	calls  []call
	until  time.Time
}

type call struct {
	at     time.Time
	failed bool
}

// observe says whether the call may make the endpoint an outlier, and whether it
// must. There is room between them where calls are nearly as old as the window,
// since that slides in parts.
func (m *model) observe(now time.Time, failed bool) (may, must bool) {
	if now.Before(m.until) {
		return false, false
	}
	m.calls = append(m.calls, call{now, failed})
	if !failed {
		m.inARow = 0
		return false, false
	}
	m.inARow++
	if n := m.config.ConsecutiveFailures; n > 0 && m.inARow >= n {
		return true, true
	}
	if m.config.FailureRatio == 0 {
		return false, false
	}
	// The window reaches back to some time between a tenth less and all of it.
	must = true
	for at := len(m.calls) - 1; at >= 0 && now.Sub(m.calls[at].at) <= m.config.Window; at-- {
		certain := now.Sub(m.calls[at].at) < m.config.Window*(windowParts-1)/windowParts
		if certain && at > 0 && now.Sub(m.calls[at-1].at) < m.config.Window*(windowParts-1)/windowParts {
			continue // no window ends here
		}
		if m.outlier(m.calls[at:]) {
			may = true
		} else {
			must = false
		}
	}
	return may, may && must
}

func (m *model) outlier(calls []call) bool {
	failures := 0
	for _, c := range calls {
		if c.failed {
			failures++
		}
	}
	return len(calls) >= m.config.MinimumCalls && failures*100 >= m.config.FailureRatio*len(calls)
}

// ejected checks the length of an ejection, and forgets all calls.
func (m *model) ejected(t *testing.T, now, until time.Time) {
	c := m.config
	length, limit := until.Sub(now), max(c.Ejection, c.MaxEjection)
	switch {
	case c.Ejection == 0 && length != 0:
		t.Fatalf("ejected for %v", length)
	case c.Ejection > 0 && (length < c.Ejection || length > limit):
		t.Fatalf("ejected for %v, not %v to %v", length, c.Ejection, limit)
	case c.Ejection > 0 && length != limit && length%c.Ejection != 0:
		t.Fatalf("ejected for %v, no multiple of %v", length, c.Ejection)
	}
	m.inARow, m.calls, m.until = 0, nil, until
}
