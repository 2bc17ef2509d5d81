package discovery

import (
	"time"

	"go.uber.org/zap"
)

// Events are told of what a source does, for metrics. Any of them may be nil.
// They are called from the goroutines of the source and must not block.
type Events struct {
	// Answered: whom the source asks has given an answer that can be used.
	Answered func()
	// Updated: the membership, or the set of services, is now another one of
	// that many.
	Updated func(members int)
	// Failed: an attempt to ask ended without an answer that can be used.
	Failed func(Reason)
	// Skipped: an entry, or a value in one, is nonsense and is left out.
	Skipped func()
	// Conflict: two instances of a service, or two services, contradict each
	// other.
	Conflict func()
}

func (e Events) answered() {
	if e.Answered != nil {
		e.Answered()
	}
}

func (e Events) updated(members int) {
	if e.Updated != nil {
		e.Updated(members)
	}
}

func (e Events) failed(r Reason) {
	if e.Failed != nil {
		e.Failed(r)
	}
}

func (e Events) skipped() {
	if e.Skipped != nil {
		e.Skipped()
	}
}

func (e Events) conflict() {
	if e.Conflict != nil {
		e.Conflict()
	}
}

// logEvery is how often an outage that lasts is logged again.
const logEvery = time.Minute

// reporter tells of one party that is asked again and again: every failure is
// counted, and the log gets the first one, each new reason, one a minute, and
// the end of it. One goroutine uses it.
type reporter struct {
	log           *zap.Logger // with fields that say who is asked for what
	events        Events
	cannot, again string // messages of the beginning and the end of an outage

	failures int // since it last answered
	since    time.Time
	logged   time.Time
	reasons  map[Reason]bool
	problems map[string]bool // what has been logged of the last answer
}

// newReporter makes one of a source.
func newReporter(log *zap.Logger, events Events) *reporter {
	return &reporter{
		log: log, events: events,
		cannot: "discovery cannot ask: what was known stays in force",
		again:  "discovery can ask again",
	}
}

// failed tells that asking gave err.
func (r *reporter) failed(err error) {
	reason := reasonOf(err)
	r.events.failed(reason)
	now := time.Now()
	if r.failures == 0 {
		r.since, r.reasons = now, make(map[Reason]bool)
	}
	r.failures++
	if r.reasons[reason] && now.Sub(r.logged) < logEvery {
		return
	}
	r.reasons[reason], r.logged = true, now
	r.log.Warn(r.cannot, zap.String("reason", string(reason)), zap.Error(shortened(err)), zap.Int("failures", r.failures))
}

// answered tells that there was an answer.
func (r *reporter) answered() {
	r.events.answered()
	if r.failures > 0 {
		r.log.Info(r.again, zap.Duration("after", time.Since(r.since)), zap.Int("failures", r.failures))
		r.failures = 0
	}
}

// problem is something in an answer that makes no sense.
type problem struct {
	where    string // the service or instance
	what     string
	conflict bool // it makes sense, but not beside the others
}

// nonsense tells of the problems of an answer: of those that the answer before
// it did not have already.
func (r *reporter) nonsense(problems []problem) {
	now := make(map[string]bool, len(problems))
	for _, p := range problems {
		key := p.where + "\x00" + p.what
		if now[key] {
			continue
		}
		now[key] = true
		if r.problems[key] {
			continue
		}
		if p.conflict {
			r.events.conflict()
			r.log.Warn("discovery found a conflict", zap.String("where", p.where), zap.String("problem", p.what))
			continue
		}
		r.events.skipped()
		r.log.Warn("discovery leaves out what makes no sense", zap.String("where", p.where), zap.String("problem", p.what))
	}
	r.problems = now
}
