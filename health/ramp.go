package health

import "time"

// minRamp is where a ramp begins: with calls enough to find out whether the
// endpoint can serve them.
const minRamp = 0.1

// Ramp is the part of its weight that counts of an endpoint which has been back
// since that long: it grows evenly from 0.1 to 1 during the window, and is 1
// where there is none.
func Ramp(since, window time.Duration) float64 {
	if window <= 0 || since >= window {
		return 1
	}
	return minRamp + (1-minRamp)*max(0, float64(since)/float64(window))
}

// Jitter is d, made up to a tenth shorter or longer by chance, a random number
// in [0, 1): so that what began together does not stay together.
func Jitter(d time.Duration, chance float64) time.Duration {
	return d + time.Duration((chance-0.5)/5*float64(d))
}
