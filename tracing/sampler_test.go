package tracing

import (
	"testing"

	"github.com/google/uuid"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// ids gives correlation ids as programs make them.
func ids(t *testing.T, version func() (uuid.UUID, error), n int) [][16]byte {
	t.Helper()
	ids := make([][16]byte, n)
	for i := range ids {
		id, err := version()
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = id
	}
	return ids
}

func TestRatioIsKeptWithUUIDs(t *testing.T) {
	const n = 20_000
	for _, kind := range []struct {
		name string
		make func() (uuid.UUID, error)
	}{{"v4", uuid.NewRandom}, {"v1", uuid.NewUUID}} {
		t.Run(kind.name, func(t *testing.T) {
			made := ids(t, kind.make, n)
			for _, ratio := range []string{"0", "0.1", "0.5", "0.8", "1"} {
				t.Setenv("OTEL_TRACES_SAMPLER", "traceidratio")
				t.Setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
				sampler := environmentOfProcess.ratioSampler().(ratioSampler)
				sampled := 0
				for _, id := range made {
					if sampler.ShouldSample(sdktrace.SamplingParameters{TraceID: id}).Decision == sdktrace.RecordAndSample {
						sampled++
					}
				}
				// 0.02 is more than five standard deviations; 0 and 1 are exact.
				got := float64(sampled) / n
				if off := got - sampler.ratio; off < -0.02 || off > 0.02 || (sampler.ratio == 0 && sampled != 0) || (sampler.ratio == 1 && sampled != n) {
					t.Errorf("the ratio %s samples %v", ratio, got)
				}
			}
		})
	}
}

// TestSDKRatioIsStillNotKept is the reason for ratioSampler. Where it fails the
// SDK has become better, and may do.
func TestSDKRatioIsStillNotKept(t *testing.T) {
	sampler := sdktrace.TraceIDRatioBased(0.4)
	for _, id := range ids(t, uuid.NewRandom, 1000) {
		if sampler.ShouldSample(sdktrace.SamplingParameters{TraceID: id}).Decision != sdktrace.Drop {
			t.Fatal("it samples UUIDv4s")
		}
	}
}

func TestSamplerVariables(t *testing.T) {
	for _, test := range []struct {
		sampler, arg  string
		root, ofRoot  bool // is the root sampled, and the call nested in it
		unsampledRoot bool // the root is another tracer's, which samples none
		complains     bool
	}{
		{sampler: "", root: true, ofRoot: true},
		{sampler: "always_on", root: true, ofRoot: true},
		{sampler: "always_off"},
		{sampler: "parentbased_always_on", root: true, ofRoot: true},
		{sampler: "parentbased_always_off"},
		{sampler: "traceidratio", arg: "1", root: true, ofRoot: true},
		{sampler: "traceidratio", arg: "0"},
		{sampler: "traceidratio", root: true, ofRoot: true},
		{sampler: "parentbased_traceidratio", arg: "0"},
		{sampler: "PARENTBASED_TRACEIDRATIO", arg: " 1.0 ", root: true, ofRoot: true},
		{sampler: "parentbased_traceidratio", arg: "many", root: true, ofRoot: true, complains: true},
		{sampler: "traceidratio", arg: "-1", root: true, ofRoot: true, complains: true},
		{sampler: "traceidratio", arg: "NaN", root: true, ofRoot: true},
		{sampler: "sometimes", root: true, ofRoot: true, complains: true},
		{sampler: "parentbased_always_on", unsampledRoot: true},
		{sampler: "always_on", unsampledRoot: true, ofRoot: true},
		{sampler: "parentbased_traceidratio", arg: "1", unsampledRoot: true},
		{sampler: "traceidratio", arg: "1", unsampledRoot: true, ofRoot: true},
	} {
		name := test.sampler + " " + test.arg
		if test.unsampledRoot {
			name += " below what is not sampled"
		}
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
			t.Setenv("OTEL_TRACES_SAMPLER", test.sampler)
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", test.arg)
			tracer, logs := fromProcess(t)
			above := tracer
			if test.unsampledRoot {
				above, _ = recording(t, sdktrace.WithSampler(sdktrace.NeverSample()))
			}
			root := above.Call(idA, Span{}, 1, Call{})
			nested := tracer.Call(idA, root, 2, Call{})
			if root.IsZero() || nested.IsZero() {
				t.Error("what is not sampled is zero")
			}
			if root.Sampled() != test.root || nested.Sampled() != test.ofRoot {
				t.Errorf("the root is sampled: %v, what is nested in it: %v", root.Sampled(), nested.Sampled())
			}
			if complained := logs.Len() > 0; complained != test.complains {
				t.Errorf("logged: %v", logs.All())
			}
			// They are not ended, as there is no collector to send them to.
		})
	}
}
