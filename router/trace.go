package router

import (
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/tracing"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// trace begins the span of the client's next request. One that certainly comes from
// another call in flight is that one's child.
func (s *Session) trace(now time.Duration, h *wire.Head) {
	c := &s.next
	if s.env.Tracer == nil || c.kind != wire.Invoke {
		return
	}
	var parent tracing.Span
	if s.parents.Certain() {
		parent, _ = s.parents.Parent().Value().(tracing.Span)
	}
	c.span = s.env.Tracer.Call(c.correlation, parent, now, tracing.Call{
		Listener:     s.env.Listener,
		Route:        s.routeOf(c).Name,
		Cluster:      s.routeOf(c).ClusterName(),
		Object:       s.summary.Object,
		Dialect:      h.Dialect.String(),
		Serializer:   c.serializer.String(),
		Oneway:       c.oneway(h),
		RequestBytes: h.Len(),
	})
}

// traceSent notes that there is an endpoint for c, and how long that took.
func (s *Session) traceSent(now time.Duration, c *call) {
	if c.span.IsZero() {
		return
	}
	if now > c.began {
		c.span.Queue(c.began, now)
	}
	c.span.Endpoint(s.lease.Endpoint.Address.String())
}

// endSpan ends the span of c.
func (s *Session) endSpan(now time.Duration, c *call, o metrics.Outcome) {
	if c.span.IsZero() {
		return
	}
	text := ""
	if c.failure != nil {
		text = c.failure.Error()
	}
	c.span.End(now, o.String(), text)
}
