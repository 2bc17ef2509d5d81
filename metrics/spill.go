package metrics

import "github.com/prometheus/client_golang/prometheus"

// Spill is how the files are shown that large dispatched requests are kept in.
type Spill struct {
	InUse, Limit, Files       prometheus.Gauge
	Waits, Requests, Failures prometheus.Counter
}

func newSpill(counter counterMaker, gauge gaugeMaker) Spill {
	return Spill{
		InUse:    gauge("spill_bytes", "Disk space reserved for requests that are dispatched from files.").WithLabelValues(),
		Limit:    gauge("spill_limit_bytes", "The limit of spill_bytes; 0: requests are kept in memory only.").WithLabelValues(),
		Files:    gauge("spill_files", "Such files open now.").WithLabelValues(),
		Waits:    counter("spill_waits_total", "Times that reading from a client paused until there was room in spill_bytes.").WithLabelValues(),
		Requests: counter("spill_requests_total", "Requests written to a file.").WithLabelValues(),
		Failures: counter("spill_failures_total", "Requests that were lost because their file could not be made, written or read.").WithLabelValues(),
	}
}

// Spill gives the collectors of those files.
func (s *Set) Spill() Spill { return s.spill }
