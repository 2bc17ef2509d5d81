//go:build linux

package main

import "time"

// scenario is one way of using a proxy. Sizes are bytes of data.
type scenario struct {
	name        string // for -scenarios and JSON
	label       string // for people
	connections int
	request     int
	reply       int
	idle        bool // resident memory of idle sessions instead of calls
}

// large says whether bytes per second are the figure to look at.
func (s scenario) large() bool { return s.request > smallMessage }

func (s scenario) calls() bool  { return !s.idle }
func (s scenario) isIdle() bool { return s.idle }

const (
	scenarioSmall16  = "small-16"
	scenarioSmall256 = "small-256"
	scenarioHuge     = "huge"
	scenarioIdle     = "idle"
)

func allScenarios(idleSessions int) []scenario {
	return []scenario{
		{name: "small-1", label: "64 B, 1 connection", connections: 1, request: 64, reply: 64},
		{name: scenarioSmall16, label: "64 B, 16 connections", connections: 16, request: 64, reply: 64},
		{name: scenarioSmall256, label: "64 B, 256 connections", connections: 256, request: 64, reply: 64},
		{name: "large", label: "1 MiB, 4 connections", connections: 4, request: 1 << 20, reply: 1 << 20},
		{name: scenarioHuge, label: "64 MiB, 2 connections", connections: 2, request: 64 << 20, reply: 64 << 20},
		{name: scenarioIdle, label: "idle sessions", connections: idleSessions, idle: true},
	}
}

// takesPart says whether a contender is measured in a scenario.
func takesPart(c contender, s scenario) bool {
	if c.absent != "" || c.largeOnly && !s.large() || c.smallOnly && (s.idle || s.large() || s.connections < 2) {
		return false
	}
	return c.name != nameDirect || !s.idle
}

// sample is one contender's turn in one scenario. Of the figures, those that the
// scenario or the contender does not have are 0.
type sample struct {
	Round     int    `json:"round"`
	Scenario  string `json:"scenario"`
	Contender string `json:"contender"`

	Calls           int           `json:"calls,omitempty"`
	CallsPerSecond  float64       `json:"calls_per_second,omitempty"`
	BytesPerSecond  float64       `json:"bytes_per_second,omitempty"` // data, both directions together
	P50             time.Duration `json:"p50_ns,omitempty"`
	P99             time.Duration `json:"p99_ns,omitempty"`
	CPUPerCall      time.Duration `json:"cpu_per_call_ns,omitempty"`
	OthersShare     float64       `json:"others_cpu_share"` // of the machine, used by other processes
	BytesPerSession float64       `json:"resident_bytes_per_session,omitempty"`
}

// metric is a figure of a sample.
type metric struct {
	short string // in a sentence or at the head of a column
	title string // of its table
	of    func(sample) float64
	show  func(float64) string
	// in says for which scenarios it has meaning, and without names a contender for which it has none.
	in      func(scenario) bool
	without string
}

var (
	metricRate = metric{
		short: "calls per second", title: "Calls per second (more is better)",
		of: func(s sample) float64 { return s.CallsPerSecond }, show: showCount, in: scenario.calls,
	}
	metricBytes = metric{
		short: "data per second", title: "Data per second, both directions together (more is better)",
		of: func(s sample) float64 { return s.BytesPerSecond }, show: showRate, in: scenario.large,
	}
	metricP50 = metric{
		short: "p50", title: "Median time of a call (less is better)",
		of: func(s sample) float64 { return float64(s.P50) }, show: showTime, in: scenario.calls,
	}
	metricP99 = metric{
		short: "p99", title: "99th percentile of the time of a call (less is better)",
		of: func(s sample) float64 { return float64(s.P99) }, show: showTime, in: scenario.calls,
	}
	metricCPU = metric{
		short: "CPU per call", title: "The proxy's CPU time per call (less is better)",
		of: func(s sample) float64 { return float64(s.CPUPerCall) }, show: showTime, in: scenario.calls, without: nameDirect,
	}
	metricMemory = metric{
		short: "memory per session", title: "Resident memory per idle session (less is better)",
		of: func(s sample) float64 { return s.BytesPerSession }, show: showBytes, in: scenario.isIdle, without: nameDirect,
	}
)

var metrics = []metric{metricRate, metricBytes, metricP50, metricP99, metricCPU, metricMemory}
