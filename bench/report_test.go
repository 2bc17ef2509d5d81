//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestHistogramQuantiles(t *testing.T) {
	var h histogram
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * 10 * time.Microsecond)
	}
	for _, test := range []struct {
		q    float64
		want time.Duration
	}{
		{0, 10 * time.Microsecond},
		{0.50, 5000 * time.Microsecond},
		{0.99, 9900 * time.Microsecond},
		{1, 10 * time.Millisecond},
	} {
		got := h.quantile(test.q)
		if d := (got - test.want).Abs(); d > test.want/100 {
			t.Errorf("quantile %v is %v, want %v within 1 %%", test.q, got, test.want)
		}
	}
	if got := new(histogram).quantile(0.5); got != 0 {
		t.Errorf("median of nothing is %v, want 0", got)
	}
}

func TestHistogramBuckets(t *testing.T) {
	previous := -1
	for d := time.Duration(0); d < 2*time.Minute; d += d/200 + 1 {
		i := bucketOf(d)
		if i < previous || i >= histogramSize {
			t.Fatalf("%v is in bucket %d after %d, of %d", d, i, previous, histogramSize)
		}
		previous = i
		if off := (bucketMiddle(i) - d).Abs(); d < 30*time.Second && off > d/128 {
			t.Fatalf("%v is counted as %v", d, bucketMiddle(i))
		}
	}
	if bucketOf(-1) != 0 {
		t.Error("a negative duration is not counted as 0")
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 250 17 0 0 20 0 3 0"
	for _, command := range []string{"(haproxy)", "(a b) c)", "(()"} {
		got, err := parseStat([]byte("42 " + command + rest))
		if want := 2670 * time.Millisecond; got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", command, got, err, want)
		}
	}
	for _, bad := range []string{"", "42 (x) S 1", strings.Replace("42 (x)"+rest, "250", "x", 1)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestOthersShare(t *testing.T) {
	before, err := parseMachineTime([]byte("cpu  100 10 50 1000 5 3 2 0 0 0\ncpu0 1 1 1\n"))
	if want := (machineTime{busy: 1650 * time.Millisecond, all: 11700 * time.Millisecond}); before != want || err != nil {
		t.Fatalf("got %+v, %v, want %+v", before, err, want)
	}
	after := machineTime{busy: before.busy + 3*time.Second, all: before.all + 8*time.Second}
	if got := othersShare(before, after, time.Second); got != 0.25 {
		t.Errorf("share of others is %v, want 0.25", got)
	}
	if got := othersShare(before, after, 4*time.Second); got != 0 {
		t.Errorf("share of others is %v, want 0: ticks may have it that we used more than there was", got)
	}
	if got := othersShare(before, before, 0); got != 0 {
		t.Errorf("share of others in no time is %v, want 0", got)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 x 4 5 6 7 8"} {
		if _, err := parseMachineTime([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestOwnProcessFigures(t *testing.T) {
	if _, err := cpuTime(os.Getpid()); err != nil {
		t.Error(err)
	}
	if n, err := residentBytes(os.Getpid()); n < 1<<20 || err != nil {
		t.Errorf("resident memory of this test: %d, %v", n, err)
	}
	if _, err := cpuTime(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("CPU time of no process: got %v, want ErrNotExist", err)
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{5, 100, 1}, 5}} {
		if got := median(test.values); got != test.want {
			t.Errorf("median of %v is %v, want %v", test.values, got, test.want)
		}
	}
}

func TestChoose(t *testing.T) {
	name := func(s string) string { return s }
	items := []string{"a", "b", "c"}
	if got, err := choose("c,a", items, name); strings.Join(got, "") != "ac" || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := choose("", items, name); len(got) != 3 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := choose("a,x", items, name); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("an unknown name gave %v", err)
	}
}

// exampleReport has two rounds in which the machine was twice as slow in the second.
func exampleReport() report {
	r := report{contenders: allContenders("", new(string)), scenarios: allScenarios(2000)}
	for i := range r.contenders {
		r.contenders[i].absent = ""
	}
	for round, slow := range []time.Duration{1, 2} {
		turn := func(contender string, cpu time.Duration) {
			r.Samples = append(r.Samples, sample{
				Round: round, Scenario: scenarioSmall16, Contender: contender, Calls: 10,
				CallsPerSecond: 1000 / float64(slow), P50: slow * time.Millisecond, P99: 3 * slow * time.Millisecond, CPUPerCall: slow * cpu,
			})
		}
		turn(nameDirect, 0)
		turn(nameDispatch, 16*time.Microsecond)
		turn(nameHAProxy2, 20*time.Microsecond)
		turn(nameFew, 20*time.Microsecond)
		turn(nameMany, 22*time.Microsecond)
		r.Samples = append(r.Samples, sample{Round: round, Scenario: scenarioIdle, Contender: nameDispatch, BytesPerSession: 11 << 10})
	}
	return r
}

func TestReport(t *testing.T) {
	var page strings.Builder
	if err := exampleReport().page(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| pyro-dispatch: CPU per call, 64 B, 16 connections | × 0.90 HAProxy, 2 threads | × 0.80 | met |",
		"| pyro-dispatch: memory per session, idle sessions | 10.0 KiB | 11.0 KiB | **missed** |",
		"| 64 B, 16 connections | × 1.00 (1.00 to 1.00) | × 1.00 (1.00 to 1.00) | × 1.00 (1.00 to 1.00) | × 0.80 (0.80 to 0.80) | – |",
		"| 64 B, 16 connections | 24 µs · × 0.80 | – | 30 µs · × 1.00 | 33 µs · × 1.10 | – | 30 µs | – |",
		"| mode call, 1,000 endpoints and routes: CPU per call, 64 B, 16 connections | × 1.15 mode call, 3 endpoints, 1 route | × 1.10 | met |",
	} {
		if !strings.Contains(page.String(), want+"\n") {
			t.Errorf("no line %q in:\n%s", want, &page)
		}
	}
	if strings.Contains(page.String(), "%!") {
		t.Errorf("a formatting mistake in:\n%s", &page)
	}
}

func TestReportWithoutHAProxy(t *testing.T) {
	r := exampleReport()
	for i := range r.contenders {
		if strings.HasPrefix(r.contenders[i].name, "haproxy") {
			r.contenders[i].absent = "not installed"
		}
	}
	r.Samples = append([]sample(nil), r.Samples...)
	for i := range r.Samples {
		if r.Samples[i].Contender == nameHAProxy2 {
			r.Samples[i].Scenario = "" // never measured
		}
	}
	var tables strings.Builder
	if err := r.tables(&tables); err != nil {
		t.Fatal(err)
	}
	if want := "| 64 B, 16 connections | 24 µs | – | 30 µs | 33 µs | not installed | not installed | not installed |\n"; !strings.Contains(tables.String(), want) {
		t.Errorf("no line %q in:\n%s", want, &tables)
	}
	if strings.Contains(tables.String(), "compared with HAProxy") {
		t.Errorf("ratios to nothing in:\n%s", &tables)
	}
}

func TestReportJSON(t *testing.T) {
	var b strings.Builder
	if err := exampleReport().json(&b); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Conditions conditions
		Samples    []sample
	}
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Samples) != 12 || back.Samples[1].CPUPerCall != 16*time.Microsecond {
		t.Errorf("read back %d samples: %+v", len(back.Samples), back.Samples)
	}
}
