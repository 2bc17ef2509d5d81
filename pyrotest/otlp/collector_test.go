package otlp

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the exporters send is tested with them (tracing/); here is the rest.
var sent = &collector.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
	Resource: &resource.Resource{Attributes: []*common.KeyValue{
		{Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "x"}}},
	}},
	ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{{
		TraceId: []byte{15: 1}, SpanId: []byte{7: 2}, Name: "a", Kind: trace.Span_SPAN_KIND_CLIENT,
		StartTimeUnixNano: 3, EndTimeUnixNano: 4,
		Status: &trace.Status{Code: trace.Status_STATUS_CODE_ERROR, Message: "why"},
		Attributes: []*common.KeyValue{
			{Key: "i", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: 5}}},
			{Key: "b", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}},
			{Key: "f", Value: &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: 0.5}}},
		},
		Events: []*trace.Span_Event{{Name: "e"}},
		Links:  []*trace.Span_Link{{TraceId: []byte{15: 6}}},
	}}}},
}}}

func want(protocol string) []Span {
	return []Span{{
		TraceID: "00000000000000000000000000000001", SpanID: "0000000000000002",
		Name: "a", Kind: "CLIENT", Start: time.Unix(0, 3), End: time.Unix(0, 4), Status: "ERROR", Message: "why",
		Attributes: map[string]any{"i": int64(5), "b": true, "f": 0.5},
		Resource:   map[string]any{"service.name": "x"},
		Events:     []string{"e"}, Links: []string{"00000000000000000000000000000006"},
		Protocol: protocol,
	}}
}

func TestHTTP(t *testing.T) {
	c := Start(t)
	raw, err := proto.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(c.HTTP()+"/v1/traces", "application/x-protobuf", bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if diff := cmp.Diff(want("http/protobuf"), c.Spans()); diff != "" || answer.StatusCode != http.StatusOK {
		t.Error(answer.Status, diff)
	}
}

func TestGRPC(t *testing.T) {
	c := Start(t)
	conn, err := grpc.NewClient(c.GRPC()[len("http://"):], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := collector.NewTraceServiceClient(conn).Export(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want("grpc"), c.Spans()); diff != "" {
		t.Error(diff)
	}
}

func TestWait(t *testing.T) {
	c := Start(t)
	two := func(s []Span) bool { return len(s) == 2 }
	go c.take(sent, "a")
	go c.take(sent, "b")
	if spans, err := c.Wait(t.Context(), two); err != nil || len(spans) != 2 {
		t.Error(spans, err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	never := func([]Span) bool { return false }
	if spans, err := c.Wait(over, never); !errors.Is(err, context.Canceled) || len(spans) != 2 {
		t.Error(spans, err)
	}
}
