package config

import "time"

// times are those of one level: nil is not given, 0 is none.
type times struct{ call, connect, send, idle, queue *time.Duration }

func (v *validator) defaults(d *Defaults) {
	v.times("defaults", times{call: &d.Timeout, send: &d.SendTimeout, idle: &d.IdleTimeout})
	v.nesting("defaults", &d.Timeout, &d.MaxDepth, &d.BudgetMargin, &d.MinBudget)
}

// times checks those of the mapping at path.
func (v *validator) times(path string, t times) {
	for _, of := range []struct {
		key  string
		d    *time.Duration
		most time.Duration
	}{
		{"timeout", t.call, maxCall},
		{"connect_timeout", t.connect, maxTimeout},
		{"send_timeout", t.send, maxTimeout},
		{"idle_timeout", t.idle, day},
		{"queue_timeout", t.queue, maxTimeout},
	} {
		if of.d != nil {
			v.durationOrNone(join(path, of.key), *of.d, minTimeout, of.most)
		}
	}
}

// nesting checks what concerns nested calls in the mapping at path, beside its
// timeout. A default gives way where it is too large; what was written does not.
func (v *validator) nesting(path string, timeout *time.Duration, depth *int, margin, least *time.Duration) {
	if depth != nil {
		v.count(join(path, "max_depth"), *depth, 0, maxDepth)
	}
	v.budget(path, "budget_margin", margin, timeout)
	v.budget(path, "min_budget", least, timeout)
}

func (v *validator) budget(path, key string, d, timeout *time.Duration) {
	at := join(path, key)
	switch {
	case d == nil:
	case *d < 0 || *d > maxTimeout:
		v.duration(at, *d, 0, maxTimeout)
	case timeout != nil && *timeout > 0 && *d >= *timeout && v.source.has(at) && !v.source.unread[join(path, "timeout")]:
		v.problem(at, "%s is not less than timeout, which is %s", short(*d), short(*timeout))
	}
}
