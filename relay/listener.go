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
	// With is the Net of a listener that was added before, whose clients and this one's
	// together have that one's limits, in place of MaxSessions and MaxPerSource. Nil, or
	// no longer there: it has its own.
	With net.Listener
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
	shed    *zap.Logger // at most a line a second
	room    *room

	mu       sync.Mutex
	drivers  map[*driver]struct{}
	draining bool
	empty    chan struct{} // closed when draining and no client is left
}

// room is what there is for the clients of a listener, or of several that share it.
type room struct {
	name   string // of the listener whose limits these are
	max    int
	perSrc int

	mu      sync.Mutex
	taken   int                // by those not denied
	denied  int                // those that are being told so
	sources map[netip.Addr]int // of those not denied, and only where perSrc bounds them
}

// newListener makes one whose clients take up of shared, or, where that is nil, of a room
// of its own.
func newListener(s *Server, c ListenerConfig, shared *room) *listener {
	if shared == nil {
		shared = &room{
			name: c.Env.Listener, max: c.MaxSessions, perSrc: c.MaxPerSource, sources: make(map[netip.Addr]int),
		}
	}
	l := &listener{
		server:  s,
		net:     c.Net,
		env:     c.Env,
		metrics: c.Env.Metrics,
		log:     s.log.With(zap.String("listener", c.Env.Listener)),
		room:    shared,
		drivers: make(map[*driver]struct{}),
		empty:   make(chan struct{}),
	}
	l.shed = l.log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, 1, 0)
	}))
	l.metrics.Limit.Set(float64(shared.max))
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
	d := newDriver(l, c, sourceOf(c))
	if !l.admit(d) {
		c.Close()
		return
	}
	l.metrics.Started.Inc()
	if !d.denied {
		l.metrics.Sessions.Inc()
	}
	go d.run()
}

// admit enters the driver, as denied where a limit is reached: such a client is
// told why, and counts for no limit but its own. It returns false where there is
// no room even for that.
func (l *listener) admit(d *driver) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining {
		return false // it is a moment too late: nobody listens here any more
	}
	if !l.room.enter(d) {
		l.metrics.Rejected(string(router.ReasonSessions))
		l.shed.Warn("clients closed unheard: too many sessions, and too many clients being told so",
			zap.String("peer", d.peer), zap.Int("limit", l.room.max))
		return false
	}
	l.drivers[d] = struct{}{}
	return true
}

// depart is the reverse of admit.
func (l *listener) depart(d *driver) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.drivers, d)
	l.room.leave(d)
	if l.draining && len(l.drivers) == 0 {
		close(l.empty)
	}
}

// enter counts a client, and denies it where a limit is reached. It returns false,
// having counted nothing, where there are too many of those too.
func (r *room) enter(d *driver) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	perSource := r.perSrc > 0 && d.source.IsValid()
	switch {
	case r.taken >= r.max:
		d.deny(router.ReasonSessions, "pyro-dispatch: too many sessions on listener "+r.name)
	case perSource && r.sources[d.source] >= r.perSrc:
		d.deny(router.ReasonSourceSessions, "pyro-dispatch: too many sessions from "+d.source.String())
	case perSource:
		r.sources[d.source]++
	}
	if !d.denied {
		r.taken++
		return true
	}
	if r.denied >= maxDenied {
		return false
	}
	r.denied++
	return true
}

// leave is the reverse of enter.
func (r *room) leave(d *driver) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.denied {
		r.denied--
		return
	}
	r.taken--
	if r.sources[d.source]--; r.sources[d.source] <= 0 {
		delete(r.sources, d.source)
	}
}

// sessionEnded is the end of a session's account: limits, metrics, and its one
// line in the log.
func (l *listener) sessionEnded(d *driver) {
	s := d.session.Summary()
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
	if !d.denied {
		l.metrics.Sessions.Dec() // whoever sees it at 0 finds everything else accounted for
	}

	d.mu.Lock()
	d.session.Gone()
	d.mu.Unlock()
	l.server.wheel.drop(&d.timer)
	l.depart(d)
}

// drain stops accepting and lets every session end when its calls have.
func (l *listener) drain() {
	l.mu.Lock()
	if l.draining {
		l.mu.Unlock()
		return
	}
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

// abortTime bounds the wait for sessions that were told to end at once.
const abortTime = 5 * time.Second

// abort ends what drain has left, waits for it, and returns how many sessions
// had calls under way.
func (l *listener) abort() (cut int) {
	left := l.all()
	for _, d := range left {
		if d.calling() {
			cut++
		}
		d.abort()
	}
	select {
	case <-l.empty:
	case <-time.After(abortTime):
		l.log.Error("sessions did not end", zap.Int("sessions", len(l.all())))
	}
	return cut
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
