//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// report turns samples into tables.
type report struct {
	Conditions conditions `json:"conditions"`
	Samples    []sample   `json:"samples"`
	contenders []contender
	scenarios  []scenario
}

// baseline is the contender that figures are compared with.
const baseline = nameHAProxy2

// aims are what the project wants of pyro-dispatch: at most so much, or so many times the baseline.
var aims = []struct {
	contender string
	scenario  string
	metric    metric
	base      string // empty: most is the figure itself
	most      float64
}{
	{nameDispatch, scenarioSmall16, metricCPU, baseline, 0.90},
	{nameDispatch, scenarioSmall256, metricCPU, baseline, 1.20},
	{nameDispatch, scenarioHuge, metricCPU, baseline, 0.50},
	{nameDispatch, scenarioIdle, metricMemory, "", 10 << 10},
	{nameCall, scenarioIdle, metricMemory, "", 6 << 10},
	{nameMany, scenarioSmall16, metricCPU, nameFew, 1.15},
	{nameMany, scenarioSmall256, metricCPU, nameFew, 1.15},
}

// median returns the middle of the values, the mean of the two middle ones of an
// even number, and 0 of none. It reorders its argument.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// figures returns a contender's figures in a scenario, one per round in which it has one.
func (r report) figures(m metric, scenario, contender string) map[int]float64 {
	byRound := map[int]float64{}
	for _, s := range r.Samples {
		if v := m.of(s); s.Scenario == scenario && s.Contender == contender && v != 0 {
			byRound[s.Round] = v
		}
	}
	return byRound
}

// ratios returns, sorted, one contender's figures divided by the other's in the same round.
func (r report) ratios(m metric, scenario, contender, base string) []float64 {
	bases := r.figures(m, scenario, base)
	var ratios []float64
	for round, v := range r.figures(m, scenario, contender) {
		if b, ok := bases[round]; ok {
			ratios = append(ratios, v/b)
		}
	}
	slices.Sort(ratios)
	return ratios
}

func (r report) typical(m metric, scenario, contender string) (float64, bool) {
	var values []float64
	for _, v := range r.figures(m, scenario, contender) {
		values = append(values, v)
	}
	return median(values), len(values) > 0
}

// json prints the conditions and every sample.
func (r report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// tables prints the aims, how pyro-dispatch compares, and every figure.
func (r report) tables(w io.Writer) error {
	var b strings.Builder
	r.writeAims(&b)
	r.writeComparison(&b, baseline)
	r.writeComparison(&b, nameDirect)
	for _, m := range metrics {
		r.writeMetric(&b, m)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r report) writeAims(b *strings.Builder) {
	var rows strings.Builder
	for _, aim := range aims {
		i := slices.IndexFunc(r.scenarios, func(s scenario) bool { return s.name == aim.scenario })
		if i < 0 {
			continue
		}
		measured, ok := r.typical(aim.metric, aim.scenario, aim.contender)
		show, of := aim.metric.show, ""
		if aim.base != "" {
			ratios := r.ratios(aim.metric, aim.scenario, aim.contender, aim.base)
			measured, ok = median(ratios), len(ratios) > 0
			show, of = showRatio, " "+r.label(aim.base)
		}
		if !ok {
			continue
		}
		writeRow(&rows, []string{r.label(aim.contender) + ": " + aim.metric.short + ", " + r.scenarios[i].label, show(aim.most) + of, show(measured), verdict(measured <= aim.most)})
	}
	if rows.Len() > 0 {
		b.WriteString("## Aims of pyro-dispatch\n\n")
		writeHead(b, []string{"", "at most", "measured", ""})
		fmt.Fprintf(b, "%s\n", &rows)
	}
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

// writeComparison prints pyro-dispatch's ratios to another contender, with the range over the rounds.
func (r report) writeComparison(b *strings.Builder, base string) {
	var rows strings.Builder
	columns := []metric{metricRate, metricP50, metricP99, metricCPU, metricMemory}
	if base == nameDirect {
		columns = columns[:3]
	}
	for _, s := range r.scenarios {
		cells, any := []string{s.label}, false
		for _, m := range columns {
			all := r.ratios(m, s.name, nameDispatch, base)
			any = any || len(all) > 0
			cells = append(cells, showRatios(all))
		}
		if any {
			writeRow(&rows, cells)
		}
	}
	if rows.Len() == 0 {
		return
	}
	head := []string{""}
	for _, m := range columns {
		head = append(head, m.short)
	}
	fmt.Fprintf(b, "## pyro-dispatch compared with %s\n\n", r.label(base))
	writeHead(b, head)
	fmt.Fprintf(b, "%s\n", &rows)
}

// writeMetric prints one figure of every contender, with its ratio to the baseline.
func (r report) writeMetric(b *strings.Builder, m metric) {
	var rows strings.Builder
	head := []string{""}
	for _, c := range r.contenders {
		if m.without != c.name {
			head = append(head, c.label)
		}
	}
	for _, s := range r.scenarios {
		if !m.in(s) {
			continue
		}
		cells := []string{s.label}
		for _, c := range r.contenders {
			if m.without != c.name {
				cells = append(cells, r.cell(m, s, c))
			}
		}
		writeRow(&rows, cells)
	}
	if rows.Len() == 0 {
		return
	}
	fmt.Fprintf(b, "## %s\n\n", m.title)
	writeHead(b, head)
	fmt.Fprintf(b, "%s\n", &rows)
}

func (r report) cell(m metric, s scenario, c contender) string {
	if c.absent != "" {
		return c.absent
	}
	v, ok := r.typical(m, s.name, c.name)
	if !ok {
		return "–"
	}
	ratios := r.ratios(m, s.name, c.name, baseline)
	if c.name == baseline || len(ratios) == 0 {
		return m.show(v)
	}
	return m.show(v) + " · " + showRatio(median(ratios))
}

func (r report) label(name string) string {
	for _, c := range r.contenders {
		if c.name == name {
			return c.label
		}
	}
	return name
}

func writeHead(b *strings.Builder, cells []string) {
	writeRow(b, cells)
	b.WriteString(strings.Repeat("|---", len(cells)) + "|\n")
}

func writeRow(b *strings.Builder, cells []string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func showRatio(v float64) string { return fmt.Sprintf("× %.2f", v) }

// showRatios shows the median of sorted ratios and, of several, their range.
func showRatios(sorted []float64) string {
	switch len(sorted) {
	case 0:
		return "–"
	case 1:
		return showRatio(sorted[0])
	}
	return fmt.Sprintf("%s (%.2f to %.2f)", showRatio(median(sorted)), sorted[0], sorted[len(sorted)-1])
}

func showCount(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func showTime(ns float64) string {
	switch d := time.Duration(ns); {
	case d < 10*time.Microsecond:
		return fmt.Sprintf("%.1f µs", ns/1e3)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.0f µs", ns/1e3)
	default:
		return fmt.Sprintf("%.1f ms", ns/1e6)
	}
}

func showRate(v float64) string  { return fmt.Sprintf("%.2f GB/s", v/1e9) }
func showBytes(v float64) string { return fmt.Sprintf("%.1f KiB", v/1024) }
