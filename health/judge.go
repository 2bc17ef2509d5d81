package health

// Verdict is what one check says about an endpoint.
type Verdict uint8

// The verdicts. Neutral says nothing either way.
const (
	Neutral Verdict = iota
	Up
	Down
)

// String is the verdict in lower case, for logs.
func (v Verdict) String() string {
	switch v {
	case Up:
		return "up"
	case Down:
		return "down"
	}
	return "neutral"
}

// Judge tells whether an endpoint is up, from the verdicts of its checks: it
// takes several in a row to change its mind. It must not be used by two
// goroutines at once.
type Judge struct {
	rise, fall int
	against    int // verdicts in a row that are not what we think
	down       bool
}

// NewJudge makes a Judge that starts up, takes an endpoint for down after fall
// verdicts of Down in a row, and for up again after rise of Up. Less than 1
// counts as 1.
func NewJudge(rise, fall int) *Judge {
	return &Judge{rise: max(rise, 1), fall: max(fall, 1)}
}

// Observe takes the next verdict into account, and reports whether that made
// the endpoint go up or down. Neutral ones change nothing, and do not
// interrupt a row.
func (j *Judge) Observe(v Verdict) (changed bool) {
	switch {
	case v == Neutral:
		return false
	case (v == Up) == j.Up(): // as we thought
		j.against = 0
		return false
	}
	j.against++
	need := j.fall
	if j.down {
		need = j.rise
	}
	if j.against < need {
		return false
	}
	j.down, j.against = !j.down, 0
	return true
}

// Up reports whether the endpoint is up.
func (j *Judge) Up() bool { return !j.down }
