package health

import (
	"math"
	"testing"
	"time"
)

func TestRamp(t *testing.T) {
	const window = 30 * time.Second
	tests := []struct {
		since, window time.Duration
		want          float64
	}{
		{0, window, 0.1}, {-time.Second, window, 0.1},
		{window / 3, window, 0.4}, {window / 2, window, 0.55}, {window * 2 / 3, window, 0.7},
		{window, window, 1}, {math.MaxInt64, window, 1},
		{0, 0, 1}, {time.Second, 0, 1}, {-time.Second, 0, 1}, // turned off
	}
	for _, test := range tests {
		if got := Ramp(test.since, test.window); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("Ramp(%v, %v) is %v, want %v", test.since, test.window, got, test.want)
		}
	}
}

func TestJitter(t *testing.T) {
	for chance, want := range map[float64]time.Duration{
		0: 9 * time.Second, 0.25: 9500 * time.Millisecond, 0.5: 10 * time.Second, 0.75: 10500 * time.Millisecond,
	} {
		if got := Jitter(10*time.Second, chance); got != want {
			t.Errorf("Jitter with chance %v is %v", chance, got)
		}
	}
	if got := Jitter(10*time.Second, math.Nextafter(1, 0)); got >= 11*time.Second || got < 10999*time.Millisecond {
		t.Errorf("at most %v", got)
	}
	if got := Jitter(0, 0.9); got != 0 {
		t.Errorf("of 0 it is %v", got)
	}
}
