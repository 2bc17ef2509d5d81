package relay

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/inflight"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/tracing"
)

// Config is what a Server is made of.
type Config struct {
	Listeners []ListenerConfig
	// BufferMemory bounds the memory for incomplete messages of clients, in
	// bytes. A quarter of it is for CONNECTs and must have room for the largest,
	// the rest is for requests and must have room for the largest that is stored.
	BufferMemory int64
	// Spill is for large requests that are dispatched.
	Spill Spill
	// DrainTimeout bounds how long calls in flight may take to end when the
	// server stops.
	DrainTimeout time.Duration
	Hops         *backend.Hops // hears of failed calls; may be nil
	// Graph and Tracer become those of all listeners' Env; both may be nil. The
	// tracer's times are then the server's.
	Graph   *inflight.Graph
	Tracer  *tracing.Tracer
	Metrics *metrics.Set
	Log     *zap.Logger
}

// Server relays for all listeners of a process.
type Server struct {
	graph      *inflight.Graph
	tracer     *tracing.Tracer
	drainTime  time.Duration
	requests   *memory // accounts: for requests,
	handshakes *memory // and for CONNECTs
	spills     *spills // nil: nothing is kept on disk
	wheel      *wheel
	lot        *lot // nil: nobody parks
	hops       *backend.Hops
	metrics    *metrics.Set
	log        *zap.Logger
	epoch      time.Time

	mu        sync.Mutex
	listeners []*listener
	serving   bool
	draining  bool
	accepting sync.WaitGroup
}

// NewServer makes a server. Nothing is accepted before Serve.
func NewServer(c Config) *Server {
	s := &Server{
		drainTime: c.DrainTimeout,
		log:       c.Log,
		hops:      c.Hops,
		metrics:   c.Metrics,
		epoch:     time.Now().Add(-time.Second), // so that no event happens at 0
		graph:     c.Graph,
		tracer:    c.Tracer,
	}
	s.handshakes, s.requests = newMemory(c.BufferMemory, c.Metrics.Buffer())
	s.spills = newSpills(&c.Spill, c.Metrics.Spill())
	s.wheel = newWheel(s.now)
	c.Tracer.Epoch(s.epoch)
	for _, lc := range c.Listeners {
		s.Add(lc)
	}
	return s
}

// Add accepts clients at one more listener, as soon as the server serves. One that is
// draining closes it.
func (s *Server) Add(c ListenerConfig) {
	c.Env.Graph, c.Env.Tracer = s.graph, s.tracer
	if k := s.spills; k != nil {
		c.Env.Limits.Spill, c.Env.Limits.Spilled = k.threshold, k.bytes
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var shared *room
	for _, other := range s.listeners {
		if c.With != nil && other.net == c.With {
			shared = other.room
		}
	}
	l := newListener(s, c, shared)
	if s.draining {
		c.Net.Close()
		return
	}
	s.listeners = append(s.listeners, l)
	if s.serving {
		s.accepting.Go(l.accept)
	}
}

// Remove accepts no more clients at a listener that was added, and closes it. Clients
// that it has are let go as when the server drains.
func (s *Server) Remove(ln net.Listener) {
	s.mu.Lock()
	at := slices.IndexFunc(s.listeners, func(l *listener) bool { return l.net == ln })
	if at < 0 || s.draining {
		s.mu.Unlock()
		return
	}
	l := s.listeners[at]
	s.mu.Unlock()
	l.drain()
	go func() {
		<-l.empty
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.draining {
			s.listeners = slices.DeleteFunc(s.listeners, func(other *listener) bool { return other == l })
		}
	}()
}

// now is the time that sessions know.
func (s *Server) now() time.Duration { return time.Since(s.epoch) }

// Time is the calendar's time for one that sessions know.
func (s *Server) Time(at time.Duration) time.Time { return s.epoch.Add(at) }

// ErrDrainTimeout: calls were still in flight when the drain timeout ended, and
// were cut off.
var ErrDrainTimeout = errors.New("calls cut off at the drain timeout")

// Serve accepts clients until ctx ends, then drains: nothing is accepted, calls
// in flight may end, and clients are closed as soon as none of theirs is. It
// returns when all are gone: nil, or ErrDrainTimeout.
func (s *Server) Serve(ctx context.Context) error {
	background, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.wheel.run(background) })
	if s.lot = newLot(); s.lot != nil {
		defer s.lot.close()
	}
	s.mu.Lock()
	s.serving = true
	for _, l := range s.listeners {
		s.accepting.Go(l.accept)
	}
	s.mu.Unlock()
	defer running.Wait()
	defer s.accepting.Wait()
	defer stop()

	<-ctx.Done()
	s.log.Info("draining", zap.Duration("drain_timeout", s.drainTime))
	timeout := time.NewTimer(s.drainTime)
	defer timeout.Stop()
	s.mu.Lock()
	s.draining = true
	listeners := s.listeners
	s.mu.Unlock()
	for _, l := range listeners {
		l.drain()
	}
	cut := 0
	for _, l := range listeners {
		select {
		case <-l.empty:
		case <-timeout.C:
			timeout.Reset(0) // it has passed for the others as well
			cut += l.abort()
		}
	}
	if cut > 0 {
		s.log.Warn("sessions cut off", zap.Int("sessions", cut))
		return ErrDrainTimeout
	}
	return nil
}
