package health

import (
	"fmt"
	"time"
)

// OutlierConfig says when calls make an endpoint an outlier. In all of it 0
// turns the test off.
type OutlierConfig struct {
	// ConsecutiveFailures is how many calls in a row have to fail.
	ConsecutiveFailures int
	// FailureRatio is how many of 100 calls within Window have to fail, where
	// there were MinimumCalls.
	FailureRatio, MinimumCalls int
	Window                     time.Duration
	// Ejection is how long the first ejection lasts, the nth one in short
	// succession n times as long, up to MaxEjection. After an ejection it takes
	// Ejection in use, n times, until the next one is a first again.
	Ejection, MaxEjection time.Duration
}

// windowParts is how finely the window slides.
const windowParts = 10

// Outlier watches how an endpoint's calls go, and says when the endpoint should
// be left out for a while. Whether it is, its caller decides (see MayEject), who
// knows the others. It must not be used by two goroutines at once. Times that
// it is given should not go backwards; where they do, nothing worse happens
// than that counts are kept for longer.
type Outlier struct {
	config OutlierConfig

	inARow int // failures since the last success
	counts [windowParts]struct{ calls, failures int }
	part   int       // the current one of counts
	since  time.Time // when it began

	ejections int       // how many times Ejection the last one lasted, or would have
	until     time.Time // the end of the last ejection
	why       Cause
}

// Cause is what made an endpoint an outlier; its zero value is nothing yet.
type Cause struct {
	// InARow is the number of failures in a row, 0 where it was the ratio.
	InARow int
	// Failures of Calls within Window.
	Failures, Calls int
	Window          time.Duration
}

// String is the cause in words, "" for none.
func (c Cause) String() string {
	switch {
	case c.InARow > 0:
		return fmt.Sprintf("%d failures in a row", c.InARow)
	case c.Calls > 0:
		return fmt.Sprintf("%d of %d calls failed within %v", c.Failures, c.Calls, c.Window)
	}
	return ""
}

// NewOutlier makes an Outlier that has seen nothing.
func NewOutlier(c OutlierConfig) *Outlier { return &Outlier{config: c} }

// Observe takes the outcome of a call into account, and reports whether the
// endpoint should be ejected now. Only a failed call can want that, and each
// one does while the tests say so, until Eject is called. Calls that end during
// an ejection are not counted: they began before it, or all endpoints are in
// use because too few are well.
func (o *Outlier) Observe(now time.Time, failed bool) (wants bool) {
	if o.Ejected(now) {
		return false
	}
	o.slide(now)
	o.counts[o.part].calls++
	if !failed {
		o.inARow = 0
		return false
	}
	o.counts[o.part].failures++
	o.inARow++
	if n := o.config.ConsecutiveFailures; n > 0 && o.inARow >= n {
		o.why = Cause{InARow: o.inARow}
		return true
	}
	calls, failures := 0, 0
	for _, c := range o.counts {
		calls += c.calls
		failures += c.failures
	}
	if r := o.config.FailureRatio; r > 0 && calls >= o.config.MinimumCalls && failures*100 >= r*calls {
		o.why = Cause{Failures: failures, Calls: calls, Window: o.config.Window}
		return true
	}
	return false
}

// slide lets what is older than the window fall out of the counts.
func (o *Outlier) slide(now time.Time) {
	step := o.config.Window / windowParts
	if step <= 0 { // no window to speak of: the call at hand only
		o.forget(now)
		return
	}
	n := now.Sub(o.since) / step
	if n >= windowParts {
		clear(o.counts[:])
		o.since = now
		return
	}
	for range n {
		o.part = (o.part + 1) % windowParts
		o.counts[o.part].calls, o.counts[o.part].failures = 0, 0
		o.since = o.since.Add(step)
	}
}

func (o *Outlier) forget(now time.Time) {
	clear(o.counts[:])
	o.since = now
}

// Eject leaves the endpoint out from now until the time it returns. It forgets
// all calls.
func (o *Outlier) Eject(now time.Time) (until time.Time) {
	o.inARow = 0
	o.forget(now)
	base := o.config.Ejection
	if base <= 0 {
		o.until = now
		return now
	}
	limit := max(o.config.MaxEjection, base)
	if well := now.Sub(o.until) / base; well > 0 {
		o.ejections -= int(min(well, time.Duration(o.ejections)))
	}
	o.ejections++
	length := limit
	if most := int(limit / base); o.ejections <= most {
		length = base * time.Duration(o.ejections)
	} else {
		o.ejections = most + 1 // more would only take longer to shrink
	}
	o.until = now.Add(length)
	return o.until
}

// Ejected reports whether the endpoint is left out at that time.
func (o *Outlier) Ejected(now time.Time) bool { return now.Before(o.until) }

// Until is the end of the last ejection, zero where there was none.
func (o *Outlier) Until() time.Time { return o.until }

// Why is what made the endpoint an outlier the last time.
func (o *Outlier) Why() Cause { return o.why }

// MayEject reports whether one more of a cluster's total endpoints may be
// ejected, where so many are already, and percent of all may be. With a percent
// above 0 one endpoint always may, so that clusters of a few have protection,
// too, but never the last one.
func MayEject(ejected, total, percent int) bool {
	if percent <= 0 || ejected+1 >= total {
		return false
	}
	return ejected <= 0 || (ejected+1)*100 <= percent*total
}

// Panic reports whether so few endpoints are healthy, less than threshold
// percent of all, that what is known about them is better not believed, and all
// of them used.
func Panic(healthy, total, threshold int) bool {
	return healthy*100 < threshold*total
}
