package pace

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	var b Backoff
	for _, most := range []time.Duration{
		FirstDelay, 2 * FirstDelay, 4 * FirstDelay, 8 * FirstDelay, 16 * FirstDelay, 32 * FirstDelay, 64 * FirstDelay, MaxDelay, MaxDelay,
	} {
		if d := b.Next(); d < most/2 || d > most {
			t.Errorf("%v, want %v to %v", d, most/2, most)
		}
	}
	b.Reset()
	if d := b.Next(); d > FirstDelay {
		t.Errorf("%v when it had gone well", d)
	}
}

func TestBucket(t *testing.T) {
	b := Bucket{Interval: time.Second, Burst: 2}
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{0, 0, time.Second, 2 * time.Second} {
		if d := b.Next(now); d != want {
			t.Errorf("%d: %v, want %v", i, d, want)
		}
	}
	if d := b.Next(now.Add(time.Hour)); d != 0 {
		t.Errorf("%v when nothing had been for an hour", d)
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if !Sleep(ctx, 50*time.Second) || time.Since(began) != 50*time.Second {
			t.Errorf("woke after %v", time.Since(began))
		}
		if Sleep(ctx, 50*time.Second) || time.Since(began) != time.Minute {
			t.Errorf("woke after %v", time.Since(began))
		}
		if Sleep(ctx, 0) {
			t.Error("went on although it was over")
		}
	})
}
