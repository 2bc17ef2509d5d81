package tracing

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// serviceName is ours where OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES give
// none. It is also the instrumentation scope's name.
const serviceName = "pyro-dispatch"

// Tracer makes spans. A nil one makes none. It may be used by many goroutines
// at once, but for Epoch.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	epoch    time.Time
	problems *problems // nil where New made the tracer
}

// FromEnv gives the tracer that the environment asks for, or nil, without an
// error, where it asks for none. It asks for one by OTEL_EXPORTER_OTLP_ENDPOINT,
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_TRACES_EXPORTER, unless the last is
// "none" or OTEL_SDK_DISABLED is "true". A variable that is set to nothing is
// not set, as the standard has it.
//
// The protocol, endpoint, headers, certificates, compression, sampler, batches
// and limits are those of the standard's variables. The OpenTelemetry SDK reads
// these from the process' environment by itself; lookup, which is os.LookupEnv
// but in tests of whether there is a tracer, is asked only for what it does not
// read, or not as we need it.
//
// Nothing is dialled here, so a collector may come later than we do. An error
// says which exporter or protocol there is not. Values that the standard wants
// ignored when they are wrong (the sampler's), and what goes wrong later, are
// logged to log as warnings, not too many of them. That is global to the
// process: the SDK knows one error handler, and the last FromEnv sets it.
//
// The caller calls Epoch, and Shutdown in the end.
func FromEnv(ctx context.Context, lookup func(string) (string, bool), version string, log *zap.Logger) (*Tracer, error) {
	env := environment(lookup)
	if !env.wantsTraces() {
		return nil, nil
	}
	problems := newProblems(log)
	problems.listen()
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("making the exporter of traces that OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_PROTOCOL ask for: %w", err)
	}
	about, err := describe(ctx, version)
	if err != nil {
		// What could be found out is there all the same.
		problems.Handle(fmt.Errorf("describing this process: %w", err))
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(about)}
	if sampler := env.ratioSampler(); sampler != nil {
		options = append(options, sdktrace.WithSampler(sampler))
	}
	t := New(sdktrace.NewBatchSpanProcessor(exporter), options...)
	t.problems = problems
	return t, nil
}

// New gives a tracer whose spans go to the processor, which it owns from now
// on. It is for tests, which want spans at once and in memory; the options
// come on top of those that make it a Tracer.
func New(processor sdktrace.SpanProcessor, options ...sdktrace.TracerProviderOption) *Tracer {
	provider := sdktrace.NewTracerProvider(append([]sdktrace.TracerProviderOption{
		sdktrace.WithSpanProcessor(processor),
		sdktrace.WithIDGenerator(correlated{}),
	}, options...)...)
	return &Tracer{
		provider: provider,
		tracer:   provider.Tracer(serviceName, trace.WithSchemaURL(semconv.SchemaURL)),
		epoch:    time.Now(),
	}
}

// Epoch says what time the durations given from now on are counted from. It
// is called before the first Call; where it is not, they are counted from when
// the tracer was made.
func (t *Tracer) Epoch(e time.Time) {
	if t != nil {
		t.epoch = e
	}
}

// Shutdown sends the spans that have ended and are not yet sent, until ctx is
// over, and returns what kept it from doing so. The spans of
// calls that end afterwards are lost.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	err := t.provider.Shutdown(ctx)
	t.problems.flush()
	if err != nil {
		return fmt.Errorf("sending the last spans: %w", err)
	}
	return nil
}

// time is when at is by the calendar.
func (t *Tracer) time(at time.Duration) trace.SpanEventOption {
	return trace.WithTimestamp(t.epoch.Add(at))
}

// environment is where the variables come from.
type environment func(string) (string, bool)

// get is a variable's value without spaces around it, "" where it is not set.
func (e environment) get(name string) string {
	value, _ := e(name)
	return strings.TrimSpace(value)
}

func (e environment) wantsTraces() bool {
	if strings.EqualFold(e.get("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	if exporter := e.get("OTEL_TRACES_EXPORTER"); exporter != "" {
		return exporter != "none"
	}
	return e.get("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || e.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// describe says whose spans these are. What OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES say comes last, and so wins.
func describe(ctx context.Context, version string) (*resource.Resource, error) {
	own := []attribute.KeyValue{semconv.ServiceName(serviceName)}
	if version != "" {
		own = append(own, semconv.ServiceVersion(version))
	}
	return resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithAttributes(own...),
		resource.WithFromEnv(),
	)
}
