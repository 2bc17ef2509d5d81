package tracing

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// ratioSampler samples a part of all traces, and the same ones in every
// dispatcher. The SDK's own does that by the id's last eight bytes, which it
// takes to be random. Those of a correlation id are not: the first two bits of
// a UUID's ninth byte are always 1 and 0, so that of UUIDv4s it would sample
// none up to a ratio of a half and all from three quarters; and in a UUIDv1,
// which Pyro's own examples use, they name the machine, so it would sample all
// of a client's calls or none. Hence all sixteen bytes are hashed.
type ratioSampler struct {
	ratio float64
	bound uint64 // of 2^63
}

// ShouldSample samples where the hash, of 63 bits, is below the bound: so what
// a lower ratio samples a higher one samples too.
func (r ratioSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := sdktrace.SamplingResult{
		Decision:   sdktrace.Drop,
		Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState(),
	}
	if xxhash.Sum64(p.TraceID[:])>>1 < r.bound {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

// Description is what the SDK's debug log calls the sampler.
func (r ratioSampler) Description() string { return fmt.Sprintf("CorrelationIDRatio{%g}", r.ratio) }

// ratioSampler is the sampler where OTEL_TRACES_SAMPLER asks for one with a
// ratio, nil where it does not: then the SDK's is right. A ratio that is wrong
// is 1, as it is in the SDK, which has told the error handler of it.
func (e environment) ratioSampler() sdktrace.Sampler {
	name := strings.ToLower(e.get("OTEL_TRACES_SAMPLER"))
	if name != "traceidratio" && name != "parentbased_traceidratio" {
		return nil
	}
	ratio, err := strconv.ParseFloat(e.get("OTEL_TRACES_SAMPLER_ARG"), 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		ratio = 1
	}
	sampler := sdktrace.Sampler(ratioSampler{ratio: ratio, bound: uint64(ratio * (1 << 63))})
	if name == "parentbased_traceidratio" {
		sampler = sdktrace.ParentBased(sampler)
	}
	return sampler
}
