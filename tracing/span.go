package tracing

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Call is what is known of a call when it begins. What is empty is left out.
type Call struct {
	Listener   string // names in our configuration
	Route      string
	Cluster    string
	Object     string // Pyro's id of the object
	Dialect    string
	Serializer string

	Oneway       bool
	RequestBytes int64 // the whole request message, in bytes
}

// Span is a call's span. The zero Span is that of a call that is not traced,
// and ignores everything. Copies are the same span. It may be used by many
// goroutines; what comes after its End is ignored, so that a call that several
// of them may end needs no care.
type Span struct{ *span }

// span is what all copies of a Span share.
type span struct {
	tracer   *Tracer
	ctx      context.Context // of its children
	call     trace.Span
	recorded bool  // that is, sampled: every standard sampler does both or neither
	about    *Call // nil where it is not recorded

	mu       sync.Mutex
	retry    trace.Span // the attempt under way, nil in the first
	endpoint string     // of the attempt under way; "" where it has none yet
	ended    bool
}

// Call begins the span of a call at the time at. A zero correlation id is no id,
// and gives a zero Span.
//
// parent is the call that this one is nested in, zero where there is none or it
// is not known. A parent with another correlation id, as known from a call
// annotation, is linked to instead: a trace's id is that of all its calls.
// Whether the parent has ended does not matter.
func (t *Tracer) Call(correlation [16]byte, parent Span, at time.Duration, c Call) Span {
	if t == nil || correlation == [16]byte{} {
		return Span{}
	}
	id := trace.TraceID(correlation)
	kind := trace.WithSpanKind(trace.SpanKindServer)
	s := &span{tracer: t}
	switch {
	case parent.IsZero():
		root := &rootContext{Context: context.Background(), id: id}
		s.ctx, s.call = t.tracer.Start(root, c.name(), kind, t.time(at))
	case parent.call.SpanContext().TraceID() == id:
		s.ctx, s.call = t.tracer.Start(parent.ctx, c.name(), kind, t.time(at))
	default:
		root := &rootContext{Context: context.Background(), id: id}
		link := trace.Link{SpanContext: parent.call.SpanContext()}
		s.ctx, s.call = t.tracer.Start(root, c.name(), kind, t.time(at), trace.WithLinks(link))
	}
	if s.recorded = s.call.IsRecording(); s.recorded {
		about := c // c itself stays off the heap where there is no tracer
		s.about = &about
	}
	return Span{s}
}

// name has as many values as there are routes.
func (c *Call) name() string {
	if c.Route == "" {
		return "pyro.call"
	}
	return "pyro.call " + c.Route
}

// attributes gives what is known of the call from its beginning, with room for
// what is known at its end: the SDK takes them best all at once, and no standard
// sampler wants them earlier.
func (c *Call) attributes(correlation [16]byte) []attribute.KeyValue {
	attributes := make([]attribute.KeyValue, 0, 16)
	attributes = append(attributes,
		semconv.RPCSystemNameKey.String("pyro"),
		attribute.String("rpc.system", "pyro"),
		attribute.String("pyro.correlation_id", uuid.UUID(correlation).String()),
		attribute.Bool("pyro.oneway", c.Oneway),
		attribute.Int64("pyro.request.size", c.RequestBytes),
	)
	for _, a := range [...]struct {
		key   attribute.Key
		value string
	}{
		{"pyro.listener", c.Listener},
		{"pyro.route", c.Route},
		{"pyro.cluster", c.Cluster},
		{"pyro.object", c.Object},
		{"pyro.dialect", c.Dialect},
		{"pyro.serializer", c.Serializer},
	} {
		if a.value != "" {
			attributes = append(attributes, a.key.String(a.value))
		}
	}
	return attributes
}

// IsZero says that the call is not traced at all. One that is traced may not be
// sampled, and its nested calls need it all the same: they follow it in that.
func (s Span) IsZero() bool { return s.span == nil }

// Sampled says that the span will be sent.
func (s Span) Sampled() bool { return s.span != nil && s.recorded }

// Queue says that the call waited for an endpoint from one time to another.
func (s Span) Queue(from, to time.Duration) {
	if !s.begin() {
		return
	}
	defer s.mu.Unlock()
	_, queue := s.tracer.tracer.Start(s.ctx, "queue", s.tracer.time(from))
	queue.End(s.tracer.time(to))
}

// Retry says that the call has failed because of why, and that a further
// attempt began at the time at. Its span ends with the next Retry or with End.
// endpoint is the one that is tried now, "" where Endpoint will tell.
func (s Span) Retry(at time.Duration, endpoint, why string) {
	if !s.begin() {
		return
	}
	defer s.mu.Unlock()
	s.endRetry(at, why, why)
	_, s.retry = s.tracer.tracer.Start(s.ctx, "retry",
		trace.WithSpanKind(trace.SpanKindClient), s.tracer.time(at))
	s.retry.SetAttributes(attribute.String("pyro.retry.reason", why))
	if s.endpoint != "" {
		s.retry.SetAttributes(attribute.String("pyro.retry.failed_endpoint", s.endpoint))
	}
	s.endpoint = endpoint
}

// Endpoint says where the call has been sent, as "host:port", or "unix:" and a
// path. The last one is the span's.
func (s Span) Endpoint(address string) {
	if !s.begin() {
		return
	}
	defer s.mu.Unlock()
	s.endpoint = address
}

// End says how the call ended, and when. outcome is the metrics' label. A call
// that was answered is no error to us, even where the answer is an exception;
// whatever else became of it is, and err tells people more of it.
func (s Span) End(at time.Duration, outcome string, err string) {
	if !s.begin() {
		return
	}
	defer s.mu.Unlock()
	s.ended = true
	attributes := s.about.attributes(s.call.SpanContext().TraceID())
	attributes = appendServer(attributes, s.endpoint)
	s.call.SetAttributes(append(attributes, attribute.String("pyro.outcome", outcome))...)
	if answered(outcome) {
		s.endRetry(at, "", "")
	} else {
		s.endRetry(at, outcome, err)
		fail(s.call, outcome, err)
	}
	s.call.End(s.tracer.time(at))
}

// endRetry ends the span of the attempt under way, if that is a retry. Where
// it failed, kind and err say how. s.mu is held.
func (s *span) endRetry(at time.Duration, kind, err string) {
	if s.retry == nil {
		return
	}
	s.retry.SetAttributes(appendPeer(appendServer(nil, s.endpoint), s.endpoint)...)
	if kind != "" {
		fail(s.retry, kind, err)
	}
	s.retry.End(s.tracer.time(at))
	s.retry = nil
}

func fail(s trace.Span, kind, err string) {
	s.SetAttributes(semconv.ErrorTypeKey.String(kind))
	s.SetStatus(codes.Error, err)
}

// answered says that the outcome is as good as Pyro knows: a oneway call has
// none but that it was sent.
func answered(outcome string) bool {
	switch outcome {
	case "ok", "replied", "exception", "raised", "oneway":
		return true
	}
	return false
}

// begin locks a span that has something to record, and says whether it does.
func (s Span) begin() bool {
	if s.span == nil || !s.recorded {
		return false
	}
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return false
	}
	return true
}
