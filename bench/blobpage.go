//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// blobReport turns the samples of the blob comparison into a section of the page.
type blobReport struct {
	Conditions conditions       `json:"conditions"`
	Python     string           `json:"python"`
	Idle       map[string]int64 `json:"resident_bytes_before"`
	Samples    []blobSample     `json:"samples"`
	scenarios  []blobScenario
}

func (r blobReport) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// blobMetric is a figure of a blobSample.
type blobMetric struct {
	short, title string
	of           func(blobSample) float64
	show         func(float64) string
}

var (
	blobRate = blobMetric{"blobs per second", "Blobs per second (more is better)", func(s blobSample) float64 { return s.BlobsPerSecond }, showCount}
	blobP50  = blobMetric{"p50", "Median time of a blob (less is better)", func(s blobSample) float64 { return float64(s.P50) }, showTime}
	blobP99  = blobMetric{"p99", "99th percentile of the time of a blob (less is better)", func(s blobSample) float64 { return float64(s.P99) }, showTime}
	blobCPU  = blobMetric{"CPU per blob", "The dispatcher's CPU time per blob (less is better)", func(s blobSample) float64 { return float64(s.CPUPerBlob) }, showTime}
)

var blobMetrics = []blobMetric{blobRate, blobP50, blobP99, blobCPU}

// blobContenders are the columns, in their order.
var blobContenders = []struct{ name, label string }{
	{blobOurs, "pyro-dispatch"}, {blobThread, "Pyro's example, threads"}, {blobMultiplex, "Pyro's example, multiplex"},
}

// blobAims are what the project wants, against the example: a bound on the ratio.
var blobAims = []struct {
	metric  blobMetric
	clients int
	bound   float64
	atLeast bool
}{
	{blobRate, 16, 8, true},
	{blobCPU, 16, 1.0 / 15, false},
	{blobP50, 1, 0.5, false},
}

// baseOf is the contender that figures of a scenario are compared with: the example as it is
// where it works.
func baseOf(s blobScenario) string {
	if blobTakesPart(blobThread, s) {
		return blobThread
	}
	return blobMultiplex
}

// figures returns a contender's figures in a scenario by round.
func (r blobReport) figures(m blobMetric, s blobScenario, contender string) map[int]float64 {
	byRound := map[int]float64{}
	for _, sample := range r.Samples {
		if sample.blobScenario == s && sample.Contender == contender {
			byRound[sample.Round] = m.of(sample)
		}
	}
	return byRound
}

// ratios returns, sorted, ours by another contender's within each round.
func (r blobReport) ratios(m blobMetric, s blobScenario, base string) (ratios []float64) {
	bases := r.figures(m, s, base)
	for round, v := range r.figures(m, s, blobOurs) {
		if b := bases[round]; b > 0 {
			ratios = append(ratios, v/b)
		}
	}
	slices.Sort(ratios)
	return ratios
}

func (r blobReport) write(w io.Writer) error {
	var b strings.Builder
	c := r.Conditions
	var shares []float64
	delivered := 0
	for _, s := range r.Samples {
		shares = append(shares, 100*s.OthersShare)
		delivered += s.Received
	}
	if len(shares) == 0 {
		return errors.New("nothing was measured")
	}
	fmt.Fprintf(&b, blobHeadText, c.Date, c.Revision, c.CPU, c.Cores, c.Kernel, c.Go, r.Python, median(shares), slices.Max(shares),
		c.Rounds, c.Duration, c.Warmup, c.Procs, delivered)
	r.writeAims(&b)
	r.writeRatios(&b)
	r.writeMemory(&b)
	for _, m := range blobMetrics {
		r.writeFigures(&b, m)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r blobReport) writeAims(b *strings.Builder) {
	b.WriteString("### Aims, at 1 KiB and one listener\n\n")
	writeHead(b, []string{"", "aim", "measured", ""})
	for _, s := range r.scenarios {
		for _, aim := range blobAims {
			ratios := r.ratios(aim.metric, s, baseOf(s))
			if s.Size != 1<<10 || s.Listeners != 1 || s.Clients != aim.clients || len(ratios) == 0 {
				continue
			}
			measured, words := median(slices.Clone(ratios)), "at most"
			met := measured <= aim.bound
			if aim.atLeast {
				words, met = "at least", measured >= aim.bound
			}
			writeRow(b, []string{fmt.Sprintf("%s: %s, %s", s.Protocol, aim.metric.short, counted(s.Clients, "client")),
				words + " " + showFine(aim.bound), showFineRange(ratios), verdict(met)})
		}
	}
	b.WriteString("\n")
}

// writeRatios prints ours by the example's, with the range over the rounds.
func (r blobReport) writeRatios(b *strings.Builder) {
	b.WriteString("### pyro-dispatch compared with Pyro's example\n\n")
	head := []string{""}
	for _, m := range blobMetrics {
		head = append(head, m.short)
	}
	writeHead(b, head)
	for _, s := range r.scenarios {
		cells := []string{fmt.Sprintf("%s, %s", s.Protocol, s)}
		for _, m := range blobMetrics {
			cells = append(cells, showFineRange(r.ratios(m, s, baseOf(s))))
		}
		if strings.Join(cells[1:], "") != strings.Repeat("–", len(blobMetrics)) {
			writeRow(b, cells)
		}
	}
	b.WriteString("\n")
}

func (r blobReport) writeFigures(b *strings.Builder, m blobMetric) {
	fmt.Fprintf(b, "### %s\n\n", m.title)
	head := []string{""}
	for _, c := range blobContenders {
		head = append(head, c.label)
	}
	writeHead(b, head)
	for _, s := range r.scenarios {
		cells := []string{fmt.Sprintf("%s, %s", s.Protocol, s)}
		for _, c := range blobContenders {
			var values []float64
			for _, v := range r.figures(m, s, c.name) {
				values = append(values, v)
			}
			if len(values) == 0 {
				cells = append(cells, "–")
				continue
			}
			cells = append(cells, m.show(median(values)))
		}
		writeRow(b, cells)
	}
	b.WriteString("\n")
}

// writeMemory prints the resident memory of each process, from before its first blob to after its last.
func (r blobReport) writeMemory(b *strings.Builder) {
	b.WriteString("### Resident memory of the dispatcher\n\n")
	writeHead(b, []string{"", "before the first blob", "highest after a turn of round 1", fmt.Sprintf("of round %d", r.Conditions.Rounds), "after the last blob"})
	row := func(label, key string, of func(blobSample) bool) {
		highest, last := map[int]int64{}, int64(0)
		for _, s := range r.Samples {
			if of(s) {
				highest[s.Round], last = max(highest[s.Round], s.Resident), s.Resident
			}
		}
		if last > 0 {
			writeRow(b, []string{label, showMiB(r.Idle[key]), showMiB(highest[0]), showMiB(highest[r.Conditions.Rounds-1]), showMiB(last)})
		}
	}
	for _, c := range blobContenders {
		for _, p := range []protocol{pyro4, pyro5} {
			row(c.label+", "+p.String(), blobKey(c.name, p), func(s blobSample) bool { return s.Contender == c.name && s.Protocol == p })
		}
	}
	b.WriteString("\n")
}

func showMiB(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// showFine is showRatio with what counts of small ratios too.
func showFine(v float64) string {
	if v < 0.2 {
		return fmt.Sprintf("× %.3f", v)
	}
	return showRatio(v)
}

func showFineRange(sorted []float64) string {
	if len(sorted) < 2 {
		return showRatios(sorted)
	}
	low, high := showFine(sorted[0]), showFine(sorted[len(sorted)-1])
	return fmt.Sprintf("%s (%s to %s)", showFine(median(slices.Clone(sorted))), strings.TrimPrefix(low, "× "), strings.TrimPrefix(high, "× "))
}

const blobHeadText = `## Blob dispatch

pyro-dispatch (` + "`run --topics example.blobdispatcher`" + `) beside the dispatcher of Pyro's example blob-dispatch, as it comes with Pyro4 and Pyro5:
clients send blobs about a topic, and the dispatcher calls every listener of that topic with them, and then answers.
` + "`make bench-blobs`" + ` repeats it and rewrites this section.

| | |
|---|---|
| date | %s |
| revision | %s |
| CPU | %s, %d cores |
| kernel | %s |
| Go | %s |
| Python | %s |
| CPU taken by other processes during the turns | %.0f %% of the machine in the median, %.0f %% at most |
| rounds | %d, turns of %v after %v of warming up |
| GOMAXPROCS of clients and listeners | %d each |
| blobs delivered | %d, each exactly once to each listener of its topic |

- Clients are one process and listeners another, both in Go and the same for all contenders; only the dispatcher between them differs. All share the cores of one machine.
- Contenders take turns, directly after one another, and another begins in each round; "× 8.00" is the median over the rounds of the ratio within a round, and the range after it
  is the lowest and the highest. Figures without × are medians.
- Sizes are those of a call's data. A client has one blob in flight, and sends the next when that is answered: by ` + "`None`" + `, once all listeners have answered.
- Every listener counts the blobs of every client. A turn in which one came twice, out of order, to the wrong listener or not at all is an error, and there is no page.
- The example's dispatcher runs unmodified, with its output to ` + "`/dev/null`" + `, and a thread pool that is large enough. With Pyro5 and its default type of server, threads, it fails as soon
  as there are several clients: "the calling thread is not the owner of this proxy", or replies that are mixed up. It is compared there with its other type, multiplex, one thread for all.
  Everywhere else pyro-dispatch is compared with the default, threads.
- What other processes took of the machine is said above. It moves every figure, CPU time per blob too, and contenders' turns are not equally disturbed: look at the ranges.
- Resident memory is read after each turn. What 64 clients had under way at 1 MiB, 64 MiB and more, may still be in it.
- Each contender has a process for each protocol. The example needs that; pyro-dispatch serves both with one.

`
