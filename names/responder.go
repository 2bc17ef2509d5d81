package names

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// question is what locateNS of both libraries broadcasts; the answer is the name
// server's URI in ISO 8859-1. There is no version in either.
const question = "GET_NSURI"

// maxAnswer is how much of an answer clients read.
const maxAnswer = 100

// Responder answers broadcasts that look for a name server (port 9091, NS_BCPORT, in
// both libraries) with the address at which the asker reaches us: the one that the
// kernel would send from to the asker. The libraries' servers do the same, and it is the
// address of the interface that the question came in on unless routes are asymmetric.
type Responder struct {
	// Advertise is what to tell. Its Port, or else Port, is the name server's; its Host
	// is best left empty where Bound is: who hears a broadcast is near, and needs no NAT's
	// address.
	Advertise Advertise
	Port      int
	// Bound is the address that the name server listens at, where it is a certain one:
	// whichever interface a question came in on, nobody listens at the others. Invalid or
	// unspecified, it listens at all of them.
	Bound netip.Addr
	// Rate is how many answers a source gets a second, and Burst how many at once; 5
	// and 10 if zero. What is beyond is not answered.
	Rate, Burst float64
	Log         *zap.Logger // may be nil
}

// Bounds of the table of sources, and of all answers together: sources of datagrams
// can be made up.
const (
	maxSources = 1024
	totalRate  = 500
)

// Serve answers on conn until ctx ends, when it closes conn and gives nil, or conn
// breaks. conn is not used by others.
func (r *Responder) Serve(ctx context.Context, conn net.PacketConn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	log := r.Log
	if log == nil {
		log = zap.NewNop()
	}
	limit := newLimiter(orElse(r.Rate, 5), orElse(r.Burst, 10))
	buffer := make([]byte, maxAnswer)
	for pause := time.Duration(0); ; {
		n, from, err := conn.ReadFrom(buffer)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil { // such as one that an earlier answer caused
			log.Debug("reading a broadcast", zap.Error(err))
			pause = min(pause+10*time.Millisecond, time.Second)
			select {
			case <-time.After(pause):
				continue
			case <-ctx.Done():
				return nil
			}
		}
		pause = 0
		asker := addrPort(from)
		if string(buffer[:n]) != question || !asker.IsValid() || asker.Port() == 0 || !limit.allow(asker.Addr(), time.Now()) {
			continue
		}
		answer, ok := r.answer(asker)
		if !ok {
			continue
		}
		log.Debug("answering a broadcast", zap.Stringer("from", asker), zap.String("uri", answer))
		if _, err := conn.WriteTo([]byte(answer), from); err != nil {
			log.Debug("answering a broadcast", zap.Stringer("to", asker), zap.Error(err))
		}
	}
}

func orElse(v, otherwise float64) float64 {
	if v > 0 {
		return v
	}
	return otherwise
}

func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// answer is the URI for asker.
func (r *Responder) answer(asker netip.AddrPort) (string, bool) {
	local := r.Bound
	if !local.IsValid() || local.IsUnspecified() {
		local = localTo(asker)
	}
	if !local.IsValid() && r.Advertise.Host == "" {
		return "", false
	}
	for _, a := range []Advertise{r.Advertise, {Port: r.Advertise.Port}} {
		host, port := a.For(netip.AddrPortFrom(local, uint16(r.Port)))
		text := values.URI{Protocol: "PYRO", Object: OwnName, Host: host, Port: port}.String()
		if len(text) <= maxAnswer {
			return text, true
		} // a name that is too long would be cut off: then the address
		if !local.IsValid() {
			break
		}
	}
	return "", false
}

// localTo is our address on the way to asker. Nothing is sent.
func localTo(asker netip.AddrPort) netip.Addr {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(asker))
	if err != nil {
		return netip.Addr{}
	}
	defer func() { _ = conn.Close() }()
	return addrPort(conn.LocalAddr()).Addr()
}

// limiter is a token bucket for each source and one for all.
type limiter struct {
	rate, burst float64
	sources     map[netip.Addr]*bucket
	total       bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newLimiter(rate, burst float64) *limiter {
	return &limiter{rate: rate, burst: burst, sources: map[netip.Addr]*bucket{}, total: bucket{tokens: totalRate}}
}

// fill adds what has come since b was looked at last.
func (b *bucket) fill(now time.Time, rate, most float64) {
	b.tokens = min(most, b.tokens+max(0, now.Sub(b.at).Seconds())*rate)
	b.at = now
}

func (l *limiter) allow(source netip.Addr, now time.Time) bool {
	b := l.sources[source]
	if b == nil {
		if len(l.sources) >= maxSources && !l.sweep(now) {
			return false
		}
		b = &bucket{tokens: l.burst, at: now}
		l.sources[source] = b
	}
	b.fill(now, l.rate, l.burst)
	l.total.fill(now, totalRate, totalRate)
	if b.tokens < 1 || l.total.tokens < 1 {
		return false
	}
	b.tokens--
	l.total.tokens--
	return true
}

// sweep forgets sources that have their full burst again, as new ones would.
func (l *limiter) sweep(now time.Time) bool {
	for source, b := range l.sources {
		if b.fill(now, l.rate, l.burst); b.tokens >= l.burst {
			delete(l.sources, source)
		}
	}
	return len(l.sources) < maxSources
}
