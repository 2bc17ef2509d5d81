// Package otlp is for tests only: a collector of OpenTelemetry traces that
// keeps what it is sent in memory. It speaks OTLP over HTTP (binary protobuf)
// and gRPC on the loopback interface, so it serves exporters in this process
// and in others. It is no collector for metrics or logs, nor for OTLP's JSON.
//
//	collector := otlp.Start(t)
//	// run something with OTEL_EXPORTER_OTLP_ENDPOINT=collector.HTTP()
//	spans := collector.Wait(ctx, func(spans []otlp.Span) bool { return len(spans) == 4 })
package otlp
