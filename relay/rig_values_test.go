package relay_test

import (
	"fmt"
	"slices"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// value is the sum of a metric's series that have all the label values, 0 where
// there are none.
func (r *rig) value(name string, labels ...string) float64 {
	r.Helper()
	families, err := r.set.Registry.Gather()
	noError(r, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "pyro_dispatch_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if !slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(values, l) }) {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// waitValue waits until a metric has a value.
func (r *rig) waitValue(want float64, name string, labels ...string) {
	r.Helper()
	pyrotest.WaitFor(r, fmt.Sprintf("%s %v is %v", name, labels, want), func() bool {
		return r.value(name, labels...) == want
	})
}

// waitIdle waits until no session is left.
func (r *rig) waitIdle() {
	r.Helper()
	pyrotest.WaitZero(r, "sessions", func() float64 { return r.value("sessions") })
	pyrotest.WaitZero(r, "connections to the daemons", func() float64 {
		open := 0
		for _, d := range r.setup.Daemons {
			open += d.Open()
		}
		return float64(open)
	})
}

// waitStuck waits until a counter has risen, and then stands still: until what
// it counts is held up.
func (r *rig) waitStuck(name string, labels ...string) {
	r.Helper()
	last, still := 0.0, 0
	pyrotest.WaitFor(r, name+" stands still", func() bool {
		v := r.value(name, labels...)
		if still++; v != last {
			last, still = v, 0
		}
		return v > 0 && still >= 50
	})
}

// reasons counts why sessions have ended, by the log.
func (r *rig) reasons() map[string]int {
	counts := make(map[string]int)
	for _, e := range r.logs.FilterMessage("session ended").All() {
		counts[e.ContextMap()["reason"].(string)]++
	}
	return counts
}
