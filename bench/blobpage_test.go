//go:build linux

package main

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func exampleBlobReport() blobReport {
	one := blobScenario{Protocol: pyro4, Clients: 1, Size: 1 << 10, Listeners: 1}
	many := blobScenario{Protocol: pyro5, Clients: 16, Size: 1 << 10, Listeners: 1}
	r := blobReport{
		Conditions: conditions{parameters: parameters{Rounds: 2}}, Python: "3.x",
		Idle: map[string]int64{blobKey(blobOurs, pyro5): 20 << 20}, scenarios: []blobScenario{one, many},
	}
	for round := range 2 {
		add := func(contender string, s blobScenario, rate float64, p50, cpu time.Duration, resident int64) {
			r.Samples = append(r.Samples, blobSample{Round: round, Contender: contender, blobScenario: s, BlobsPerSecond: rate,
				P50: p50, P99: 2 * p50, CPUPerBlob: cpu, Resident: resident << 20, Received: 7})
		}
		add(blobOurs, one, 10000, 100*time.Microsecond, 30*time.Microsecond, 30+int64(round))
		add(blobThread, one, 4000, 250*time.Microsecond, 150*time.Microsecond, 40)
		add(blobOurs, many, 36000, 400*time.Microsecond, 12*time.Microsecond, 35+int64(round))
		add(blobMultiplex, many, 6000, 2500*time.Microsecond, 120*time.Microsecond, 40)
	}
	return r
}

func TestBlobPage(t *testing.T) {
	var page strings.Builder
	if err := exampleBlobReport().write(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| Pyro4: p50, 1 client | at most × 0.50 | × 0.40 (0.40 to 0.40) | met |",
		"| Pyro5: blobs per second, 16 clients | at least × 8.00 | × 6.00 (6.00 to 6.00) | **missed** |",
		"| Pyro5: CPU per blob, 16 clients | at most × 0.067 | × 0.100 (0.100 to 0.100) | **missed** |",
		"| Pyro4, 1 KiB, 1 client, 1 listener | × 2.50 (2.50 to 2.50) | × 0.40 (0.40 to 0.40) | × 0.40 (0.40 to 0.40) | × 0.20 (0.20 to 0.20) |",
		"| Pyro5, 1 KiB, 16 clients, 1 listener | 36000 | – | 6000 |",
		"| pyro-dispatch, Pyro5 | 20.0 MiB | 35.0 MiB | 36.0 MiB | 36.0 MiB |",
		"| blobs delivered | 56, each exactly once to each listener of its topic |",
	} {
		if !strings.Contains(page.String(), want+"\n") {
			t.Errorf("no line %q in:\n%s", want, &page)
		}
	}
	if strings.Contains(page.String(), "%!") {
		t.Errorf("a formatting mistake in:\n%s", &page)
	}
	if err := (blobReport{}).write(&page); err == nil {
		t.Error("a page about nothing")
	}
}

// Each of the two comparisons leaves the other's part of the page as it is.
func TestBlobPageKeepsTheRest(t *testing.T) {
	path := t.TempDir() + "/page.md"
	rest := func(text string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
	}
	read := func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	r := exampleBlobReport()
	if err := r.intoPage(path); err == nil {
		t.Error("a page out of nothing")
	}
	for _, step := range []func() error{
		func() error { return writeFile(path, keepBlobs(path, rest("# Old\n\n"))) },
		func() error { return r.intoPage(path) },
		func() error { return writeFile(path, keepBlobs(path, rest("# New\n\n"))) },
		func() error { return r.intoPage(path) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	page := read()
	if !strings.HasPrefix(page, "# New\n\n"+blobsBegin+"## Blob dispatch\n") || strings.Count(page, blobsBegin) != 1 || !strings.HasSuffix(page, blobsEnd) {
		t.Errorf("the page is\n%s", page)
	}
}
