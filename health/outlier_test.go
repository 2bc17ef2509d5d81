package health

import (
	"math"
	"testing"
	"time"
)

var config = OutlierConfig{
	ConsecutiveFailures: 5, FailureRatio: 50, MinimumCalls: 20, Window: 30 * time.Second,
	Ejection: 10 * time.Second, MaxEjection: 35 * time.Second,
}

// with is config, changed.
func with(change func(*OutlierConfig)) OutlierConfig {
	c := config
	change(&c)
	return c
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// calls makes a call each interval, "." for a success and "x" for a failure, and
// returns the number of the first that wants ejection, 0 for none.
func calls(o *Outlier, start time.Time, interval time.Duration, outcomes string) (first int) {
	for i, c := range outcomes {
		if o.Observe(start.Add(time.Duration(i)*interval), c == 'x') && first == 0 {
			first = i + 1
		}
	}
	return first
}

func TestOutlier(t *testing.T) {
	const mixedCalls = "x.x.x.x.x.x.x.x.x.xx" // 11 of 20
	noRow := with(func(c *OutlierConfig) { c.ConsecutiveFailures = 0 })
	noRatio := with(func(c *OutlierConfig) { c.FailureRatio = 0 })
	noWindow := with(func(c *OutlierConfig) { c.ConsecutiveFailures, c.Window, c.MinimumCalls = 0, 0, 2 })
	tests := []struct {
		name     string
		config   OutlierConfig
		interval time.Duration
		outcomes string
		want     int // the first call that wants ejection
		why      string
	}{
		{"all is well", config, time.Second, "....................", 0, ""},
		{"five in a row", config, time.Second, "..xxxxx", 7, "5 failures in a row"},
		{"five in a row, far apart", config, time.Hour, "xxxxx", 5, "5 failures in a row"},
		{"never five in a row", config, time.Second, "xxxx.xxxx.xxxx.", 0, ""},
		{"half of the calls", config, time.Second, mixedCalls, 20, "11 of 20 calls failed within 30s"},
		{"exactly half, at a failure", config, time.Second, ".x.x.x.x.x.x.x.x.x.x", 20, "10 of 20 calls failed within 30s"},
		{"exactly half, at a success", config, time.Second, "x.x.x.x.x.x.x.x.x.x.", 0, ""},
		{"less than half", config, time.Second, "x..x..x..x..x..x..x..x..x..x..x..x..x", 0, ""},
		{"too few calls", config, time.Second, mixedCalls[:19], 0, ""},
		{"too few calls within the window", config, 2 * time.Second, mixedCalls + mixedCalls, 0, ""},
		{"the row is off", noRow, time.Second, "xxxxxxxxxxxxxxxxxxx", 0, ""},
		{"the row is off, but not the ratio", noRow, time.Second, "xxxxxxxxxxxxxxxxxxxx", 20, "20 of 20 calls failed within 30s"},
		{"the ratio is off", noRatio, time.Second, mixedCalls + mixedCalls, 0, ""},
		{"all is off", OutlierConfig{}, time.Second, "xxxxxxxxxxxxxxxxxxxxxxxx", 0, ""},
		{"no window", noWindow, 0, "xxxxxxxxxx", 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := NewOutlier(test.config)
			if got := calls(o, epoch, test.interval, test.outcomes); got != test.want {
				t.Errorf("call %d wants ejection, not %d", got, test.want)
			}
			if got := o.Why().String(); got != test.why {
				t.Errorf("why: %s", got)
			}
		})
	}
}

// TestOutlierWindow: what is older than the window does not count, what is
// younger than nine tenths of it does.
func TestOutlierWindow(t *testing.T) {
	for _, test := range []struct {
		after time.Duration // from the first 19 calls to the 20th
		want  bool
	}{{0, true}, {20 * time.Second, true}, {27*time.Second - 1, true}, {30 * time.Second, false}, {time.Hour, false}} {
		o := NewOutlier(with(func(c *OutlierConfig) { c.ConsecutiveFailures = 0 }))
		calls(o, epoch, 0, "xxxxxxxxxxxxxxxxxxx")
		if got := o.Observe(epoch.Add(test.after), true); got != test.want {
			t.Errorf("after %v: %v", test.after, got)
		}
	}
}

// TestEjection: how long each of several lasts.
func TestEjection(t *testing.T) {
	s := func(n ...int) (d []time.Duration) {
		for _, n := range n {
			d = append(d, time.Duration(n)*time.Second)
		}
		return d
	}
	tests := []struct {
		name   string
		config OutlierConfig
		well   []time.Duration // before each ejection
		want   []time.Duration
	}{
		{"grow up to the limit", config, s(0, 0, 1, 9, 0, 0), s(10, 20, 30, 35, 35, 35)},
		{"shrink with time in use", config, s(0, 0, 0, 20, 100), s(10, 20, 30, 20, 10)},
		{"shrink from the limit as fast", config, s(0, 0, 0, 0, 0, 0, 40, 0), s(10, 20, 30, 35, 35, 35, 10, 20)},
		{"not by less than one", config, s(0, 9, 9, 10), s(10, 20, 30, 30)},
		{"no limit to speak of", with(func(c *OutlierConfig) { c.MaxEjection = math.MaxInt64 }), s(0, 0, 0, 0, 0), s(10, 20, 30, 40, 50)},
		{"a limit below the first", with(func(c *OutlierConfig) { c.MaxEjection = time.Second }), s(0, 0, 50), s(10, 10, 10)},
		{"a limit between", with(func(c *OutlierConfig) { c.MaxEjection = 15 * time.Second }), s(0, 0, 0, 10, 20), s(10, 15, 15, 15, 10)},
		{"off", with(func(c *OutlierConfig) { c.Ejection = 0 }), s(0, 0), s(0, 0)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := NewOutlier(test.config)
			if !o.Until().IsZero() {
				t.Errorf("until %v", o.Until())
			}
			now := epoch
			for i, want := range test.want {
				now = now.Add(test.well[i])
				until := o.Eject(now)
				if got := until.Sub(now); got != want || o.Until() != until {
					t.Fatalf("ejection %d lasts %v, want %v", i+1, got, want)
				}
				if want > 0 && (!o.Ejected(now) || !o.Ejected(until.Add(-1))) || o.Ejected(until) {
					t.Fatalf("ejection %d: not ejected until its end, or after it", i+1)
				}
				now = until
			}
		})
	}
}

// TestEjectionForgets: calls before and during an ejection count for nothing
// after it.
func TestEjectionForgets(t *testing.T) {
	for name, c := range map[string]OutlierConfig{
		"in a row": config,
		"ratio":    with(func(c *OutlierConfig) { c.ConsecutiveFailures = 0; c.MinimumCalls = 5 }),
	} {
		o := NewOutlier(c)
		if first := calls(o, epoch, 0, "xxxxx"); first != 5 {
			t.Fatalf("%s: call %d wants ejection", name, first)
		}
		if !o.Observe(epoch, true) { // its caller did not let it go
			t.Errorf("%s: a sixth failure does not want ejection", name)
		}
		until := o.Eject(epoch)
		if first := calls(o, epoch, time.Millisecond, "xxxxxxxxxxxxxxxxxxxxxxxxx"); first != 0 {
			t.Errorf("%s: call %d wants ejection while it is ejected", name, first)
		}
		if o.Why().String() == "" {
			t.Errorf("%s: the cause is forgotten", name)
		}
		if first := calls(o, until, 0, "xxxxx"); first != 5 {
			t.Errorf("%s: call %d after the ejection wants the next", name, first)
		}
	}
}

// TestBackwards: a clock that goes back does no harm.
func TestBackwards(t *testing.T) {
	o := NewOutlier(config)
	calls(o, epoch, time.Second, "x.x.x.x.")
	if o.Observe(epoch.Add(-time.Hour), true) {
		t.Error("wants ejection")
	}
	if first := calls(o, epoch, time.Second, "x.x.x.x.x.x.x.x"); first == 0 {
		t.Error("counts nothing any more")
	}
}

func TestMayEject(t *testing.T) {
	tests := []struct {
		ejected, total, percent int
		want                    bool
	}{
		{0, 0, 50, false},
		{0, 1, 50, false}, {0, 1, 100, false}, // never the last one
		{0, 2, 50, true}, {0, 2, 1, true}, // always one of several
		{1, 2, 100, false},
		{0, 3, 10, true}, {1, 3, 50, false}, {1, 3, 67, true}, {2, 3, 100, false},
		{0, 10, 50, true}, {4, 10, 50, true}, {5, 10, 50, false},
		{8, 10, 100, true}, {9, 10, 100, false},
		{0, 10, 0, false}, {0, 10, -1, false},
		{499, 1000, 50, true}, {500, 1000, 50, false},
	}
	for _, test := range tests {
		if got := MayEject(test.ejected, test.total, test.percent); got != test.want {
			t.Errorf("MayEject(%d, %d, %d) is %v", test.ejected, test.total, test.percent, got)
		}
	}
}

func TestPanic(t *testing.T) {
	tests := []struct {
		healthy, total, threshold int
		want                      bool
	}{
		{0, 0, 25, false},
		{1, 1, 25, false}, {0, 1, 25, true},
		{1, 4, 25, false}, {0, 4, 25, true},
		{1, 5, 25, true}, {2, 5, 25, false},
		{0, 5, 0, false}, // turned off
		{4, 5, 100, true}, {5, 5, 100, false},
	}
	for _, test := range tests {
		if got := Panic(test.healthy, test.total, test.threshold); got != test.want {
			t.Errorf("Panic(%d, %d, %d) is %v", test.healthy, test.total, test.threshold, got)
		}
	}
}
