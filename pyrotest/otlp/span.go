package otlp

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Span is a span as it came.
type Span struct {
	TraceID string // 32 hexadecimal digits
	SpanID  string // 16 hexadecimal digits
	Parent  string // likewise; "" where it has none

	Name  string
	Kind  string // "SERVER", "CLIENT", "INTERNAL"
	Start time.Time
	End   time.Time

	Status  string // "UNSET", "OK", "ERROR"
	Message string // of an error

	Attributes map[string]any // of string, bool, int64 and float64; other kinds as text
	Resource   map[string]any // likewise: whose span it is
	Events     []string       // names
	Links      []string       // trace ids

	Protocol string // "http/protobuf" or "grpc"
}

// decode gives all spans of a request, in its order.
func decode(request *collector.ExportTraceServiceRequest, protocol string) []Span {
	var spans []Span
	for _, of := range request.GetResourceSpans() {
		resource := attributes(of.GetResource().GetAttributes())
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				spans = append(spans, decodeSpan(s, resource, protocol))
			}
		}
	}
	return spans
}

func decodeSpan(s *trace.Span, resource map[string]any, protocol string) Span {
	span := Span{
		TraceID:    hex.EncodeToString(s.GetTraceId()),
		SpanID:     hex.EncodeToString(s.GetSpanId()),
		Parent:     hex.EncodeToString(s.GetParentSpanId()),
		Name:       s.GetName(),
		Kind:       strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"),
		Start:      time.Unix(0, int64(s.GetStartTimeUnixNano())),
		End:        time.Unix(0, int64(s.GetEndTimeUnixNano())),
		Status:     strings.TrimPrefix(s.GetStatus().GetCode().String(), "STATUS_CODE_"),
		Message:    s.GetStatus().GetMessage(),
		Attributes: attributes(s.GetAttributes()),
		Resource:   resource,
		Protocol:   protocol,
	}
	for _, e := range s.GetEvents() {
		span.Events = append(span.Events, e.GetName())
	}
	for _, l := range s.GetLinks() {
		span.Links = append(span.Links, hex.EncodeToString(l.GetTraceId()))
	}
	return span
}

func attributes(pairs []*common.KeyValue) map[string]any {
	m := make(map[string]any, len(pairs))
	for _, p := range pairs {
		m[p.GetKey()] = value(p.GetValue())
	}
	return m
}

func value(v *common.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_DoubleValue:
		return v.DoubleValue
	}
	return fmt.Sprint(v)
}
