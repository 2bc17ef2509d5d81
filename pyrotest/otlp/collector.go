package otlp

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // OTEL_EXPORTER_OTLP_COMPRESSION=gzip
	"google.golang.org/protobuf/proto"
)

// Collector takes spans until its test is over. It may be used by many
// goroutines.
type Collector struct {
	http, grpc string // URLs

	mu      sync.Mutex
	spans   []Span
	changed chan struct{} // closed and replaced when spans come
}

// Start gives a collector that listens on two free ports. It is closed by
// tb.Cleanup; whoever sends to it should be told to stop before.
func Start(tb testing.TB) *Collector {
	tb.Helper()
	c := &Collector{changed: make(chan struct{})}
	c.http = c.serve(tb, c.serveHTTP(tb))
	c.grpc = c.serve(tb, c.serveGRPC())
	return c
}

// HTTP is what OTEL_EXPORTER_OTLP_ENDPOINT is with the protocol http/protobuf.
func (c *Collector) HTTP() string { return c.http }

// GRPC is what OTEL_EXPORTER_OTLP_ENDPOINT is with the protocol grpc.
func (c *Collector) GRPC() string { return c.grpc }

// Spans returns what has come so far, in the order in which it came, and that
// is the order in which the spans ended, where one exporter sends them.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Wait returns the spans as soon as they are what enough wants. When ctx is
// over first it returns what there is, and an error that wraps ctx's.
func (c *Collector) Wait(ctx context.Context, enough func([]Span) bool) ([]Span, error) {
	for {
		c.mu.Lock()
		spans, changed := slices.Clone(c.spans), c.changed
		c.mu.Unlock()
		if enough(spans) {
			return spans, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return spans, fmt.Errorf("waiting for spans, of which %d came: %w", len(spans), ctx.Err())
		}
	}
}

// take keeps what a request brings.
func (c *Collector) take(request *collector.ExportTraceServiceRequest, protocol string) {
	spans := decode(request, protocol)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, spans...)
	close(c.changed)
	c.changed = make(chan struct{})
}

// server is one of the two that a collector is.
type server struct {
	serve func(net.Listener) error // until stop, then nil
	stop  func()
}

// serve runs a server until the test is over, and returns its URL.
func (c *Collector) serve(tb testing.TB, s server) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.serve(ln) }()
	tb.Cleanup(func() {
		s.stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // that is stopped before it served
			tb.Errorf("the collector ended by itself: %v", err)
		}
	})
	return "http://" + ln.Addr().String()
}

func (c *Collector) serveHTTP(tb testing.TB) server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		request, err := read(r)
		if err != nil {
			tb.Errorf("the collector got a bad request: %v", err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c.take(request, "http/protobuf")
		w.Header().Set("Content-Type", "application/x-protobuf")
		// The answer is an empty ExportTraceServiceResponse, which has no bytes.
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return server{
		serve: func(ln net.Listener) error {
			if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
		stop: func() { _ = s.Close() },
	}
}

// read is the request that an HTTP request carries.
func read(r *http.Request) (*collector.ExportTraceServiceRequest, error) {
	if kind := r.Header.Get("Content-Type"); kind != "application/x-protobuf" {
		return nil, fmt.Errorf("its content type is %q", kind)
	}
	body := io.Reader(r.Body)
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "":
	case "gzip":
		plain, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		body = plain
	default:
		return nil, fmt.Errorf("its content encoding is %q", encoding)
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	request := &collector.ExportTraceServiceRequest{}
	if err := proto.Unmarshal(raw, request); err != nil {
		return nil, err
	}
	return request, nil
}

// service is the collector as gRPC sees it.
type service struct {
	collector.UnimplementedTraceServiceServer
	*Collector
}

// Export takes what one call brings.
func (s service) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.take(request, "grpc")
	return &collector.ExportTraceServiceResponse{}, nil
}

func (c *Collector) serveGRPC() server {
	s := grpc.NewServer()
	collector.RegisterTraceServiceServer(s, service{Collector: c})
	return server{serve: s.Serve, stop: s.Stop}
}
