package relay

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// ListenerConfig describes one listener.
type ListenerConfig struct {
	Net net.Listener // closed by the server
	// Env is shared by the listener's sessions.
	Env router.Env
	// MaxSessions bounds the clients connected at once, MaxPerSource those from
	// one address (0: no bound of its own; Unix sockets have no address).
	MaxSessions  int
	MaxPerSource int
}

// maxDenied bounds the clients that are told why they are one too many. More
// than that are closed without a word.
const maxDenied = 64

// listener accepts clients and knows those that are connected.
type listener struct {
	server  *Server
	net     net.Listener
	env     router.Env
	metrics *metrics.Listener
	log     *zap.Logger
	max     int
	perSrc  int

	mu       sync.Mutex
	drivers  map[*driver]netip.Addr
	sources  map[netip.Addr]int // only where perSrc bounds them
	draining bool
	empty    chan struct{} // closed when draining and no client is left
}

func newListener(s *Server, c ListenerConfig) *listener {
	l := &listener{
		server:  s,
		net:     c.Net,
		env:     c.Env,
		metrics: c.Env.Metrics,
		log:     s.log.With(zap.String("listener", c.Env.Listener)),
		max:     c.MaxSessions,
		perSrc:  c.MaxPerSource,
		drivers: make(map[*driver]netip.Addr),
		sources: make(map[netip.Addr]int),
		empty:   make(chan struct{}),
	}
	l.metrics.Limit.Set(float64(c.MaxSessions))
	return l
}

// accept serves clients until the listener is closed. An error of accept, such
// as the lack of a descriptor, is waited out.
func (l *listener) accept() {
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		c, err := l.net.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			l.metrics.AcceptErrors.Inc()
			l.log.Error("accept failed", zap.Error(err), zap.Duration("pause", pause))
			time.Sleep(pause)
			pause = min(2*pause, longest)
			continue
		}
		pause = shortest
		l.start(c)
	}
}

// start begins the session of a client.
func (l *listener) start(c net.Conn) {
	source := sourceOf(c)
	d := newDriver(l, c, source)
	if !l.admit(d, source) {
		c.Close()
		return
	}
	l.metrics.Started.Inc()
	l.metrics.Sessions.Inc()
	go d.run()
}

// admit enters the driver, as denied where a limit is reached. It returns false
// where there is no room even for that.
func (l *listener) admit(d *driver, source netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.draining, len(l.drivers) >= l.max+maxDenied:
		l.metrics.Rejected(string(router.ReasonSessions))
		return false
	case len(l.drivers) >= l.max:
		d.session.Deny(router.ReasonSessions, "pyro-dispatch: too many sessions on listener "+l.env.Listener)
	case l.perSrc > 0 && source.IsValid() && l.sources[source] >= l.perSrc:
		d.session.Deny(router.ReasonSourceSessions, "pyro-dispatch: too many sessions from "+source.String())
	}
	l.drivers[d] = source
	if l.perSrc > 0 && source.IsValid() {
		l.sources[source]++
	}
	return true
}

// sessionEnded is the end of a session's account: limits, metrics, and its one
// line in the log.
func (l *listener) sessionEnded(d *driver) {
	s := d.session.Summary()
	l.metrics.Sessions.Dec()
	l.metrics.Ended(string(s.Reason))
	level := zapcore.InfoLevel
	switch {
	case s.Reason.Rejected(), s.Reason == router.ReasonUnreachable, s.Reason == router.ReasonGarbled:
		level = zapcore.WarnLevel
	case d.session.Dialect() == 0:
		level = zapcore.DebugLevel // a port scan, or a check that only connects
	}
	if e := l.log.Check(level, "session ended"); e != nil {
		e.Write(d.endFields(&s)...)
	}

	l.server.wheel.drop(&d.timer)
	l.mu.Lock()
	source := l.drivers[d]
	delete(l.drivers, d)
	if l.sources[source]--; l.sources[source] <= 0 {
		delete(l.sources, source)
	}
	if l.draining && len(l.drivers) == 0 {
		close(l.empty)
	}
	l.mu.Unlock()
}

// drain stops accepting and lets every session end when its calls have.
func (l *listener) drain() {
	l.mu.Lock()
	l.draining = true
	if len(l.drivers) == 0 {
		close(l.empty)
	}
	l.mu.Unlock()
	l.net.Close()
	for _, d := range l.all() {
		d.drain()
	}
}

// abort ends what drain has left, waits for it, and returns how many sessions
// that were.
func (l *listener) abort() int {
	left := l.all()
	for _, d := range left {
		d.abort()
	}
	<-l.empty
	return len(left)
}

func (l *listener) all() []*driver {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*driver, 0, len(l.drivers))
	for d := range l.drivers {
		all = append(all, d)
	}
	return all
}

// sourceOf is the client's address, the zero Addr where it has none.
func sourceOf(c net.Conn) netip.Addr {
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
