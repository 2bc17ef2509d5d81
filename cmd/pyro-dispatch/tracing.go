package main

import (
	"cmp"
	"context"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/tracing"
)

// tracingEnd bounds how long the last spans may take to be sent.
const tracingEnd = 5 * time.Second

// startTracing makes the tracer that the environment asks for, nil where it asks
// for none.
func startTracing(ctx context.Context, lookup func(string) (string, bool), log *zap.Logger, version string) (*tracing.Tracer, error) {
	tracer, err := tracing.FromEnv(ctx, lookup, version, log)
	if err != nil {
		return nil, &usageError{err}
	}
	if tracer != nil {
		log.Info("tracing on", tracingFields(lookup)...)
	}
	return tracer, nil
}

// tracingFields say where spans go, by the variables that decide it and their
// defaults.
func tracingFields(lookup func(string) (string, bool)) []zap.Field {
	get := func(name string) string { value, _ := lookup(name); return value }
	if exporter := cmp.Or(get("OTEL_TRACES_EXPORTER"), "otlp"); exporter != "otlp" {
		return []zap.Field{zap.String("exporter", exporter)}
	}
	protocol := cmp.Or(get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), get("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	endpoint := cmp.Or(get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), get("OTEL_EXPORTER_OTLP_ENDPOINT"))
	if u, err := url.Parse(endpoint); err == nil {
		endpoint = u.Redacted() // it may hold a password
	} else {
		endpoint = "" // which the SDK tells of, and uses the default
	}
	if endpoint == "" {
		endpoint = "http://localhost:4318"
		if protocol == "grpc" {
			endpoint = "http://localhost:4317"
		}
	}
	return []zap.Field{zap.String("endpoint", endpoint), zap.String("protocol", protocol)}
}

// stopTracing sends the spans that there are still.
func stopTracing(tracer *tracing.Tracer, log *zap.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), tracingEnd)
	defer cancel()
	if err := tracer.Shutdown(ctx); err != nil {
		log.Warn("tracing ended with spans unsent", zap.Error(err))
	}
}
