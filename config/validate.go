package config

import (
	"regexp"
	"strings"
	"time"
)

// The bounds of values. Below the smallest size real peers would be refused:
// a Pyro4 correlation id alone takes 22 bytes of annotations. Above the
// largest message no length field can count.
const (
	minSize        = 1 * KiB
	maxMessageSize = 4*GiB - 1
	maxKeptSize    = 1 * GiB // of what is held in memory: an int everywhere
	minTimeout     = time.Millisecond
	maxTimeout     = time.Hour // of what somebody waits for
	day            = 24 * time.Hour
	maxCall        = day // of a method, which may work that long
	maxDepth       = 1000
)

// Validate returns all that is wrong with the meaning of a configuration, with
// the places in the file it was loaded from, or the flags that ApplyQuick was
// given. It changes nothing. The result is empty for a good configuration.
func (c *Config) Validate() Problems {
	v := validator{Config: c}
	v.timeout("drain_timeout", c.DrainTimeout, 0)
	v.limits(&c.Limits)
	v.defaults(&c.Defaults)
	taken := make(names) // of all that listens
	v.listeners(taken)
	v.routes()
	v.clusters()
	v.consul(&c.Consul)
	v.text("state_dir", "a directory", c.StateDir)
	v.topics("topics", &c.Topics)
	v.nameServer("name_server", &c.NameServer, taken)
	v.storages()
	v.portRanges()
	v.keys()
	v.problems.sort()
	return v.problems
}

type validator struct {
	*Config
	problems Problems
}

// problem notes a problem with the value at path, unless Load could not read
// that value.
func (v *validator) problem(path, format string, args ...any) {
	for p := path; ; p = parent(p) {
		if v.source.unread[p] {
			return
		}
		if p == "" {
			break
		}
	}
	v.problems = append(v.problems, v.source.problem(path, format, args...))
}

func (v *validator) timeout(path string, d, least time.Duration) {
	switch {
	case d < 0:
		v.problem(path, "%s is negative", d)
	case d < least:
		v.problem(path, "%s is too short: at least %s", short(d), short(least))
	}
}

// duration wants a duration from least to most.
func (v *validator) duration(path string, d, least, most time.Duration) {
	if d > most {
		v.problem(path, "%s is too long: at most %s", short(d), short(most))
		return
	}
	v.timeout(path, d, least)
}

// durationOrNone is duration for a key to which 0 means that there is none.
func (v *validator) durationOrNone(path string, d, least, most time.Duration) {
	if d != 0 {
		v.duration(path, d, least, most)
	}
}

// short writes a duration without the zeros at its end: 24h, not 24h0m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// count wants a number from least to most.
func (v *validator) count(path string, n, least, most int) {
	switch {
	case n > most:
		v.problem(path, "%d is too many: at most %d", n, most)
	case n < 0 && least == 0:
		v.problem(path, "%d is negative", n)
	case n < least:
		v.problem(path, "%d is too few: at least %d", n, least)
	}
}

func (v *validator) size(path string, s, least, most Size) {
	switch {
	case s < least:
		v.problem(path, "%s is too small: at least %s", s, least)
	case s > most:
		v.problem(path, "%s is too large: at most %s", s, most)
	}
}

func (v *validator) limits(l *Limits) {
	v.size("limits.max_message_size", l.MaxMessageSize, minSize, maxMessageSize)
	v.size("limits.max_request_annotations", l.MaxRequestAnnotations, minSize, maxKeptSize)
	v.size("limits.max_handshake", l.MaxHandshake, minSize, maxKeptSize)
	v.size("limits.store_and_forward", l.StoreAndForward, minSize, maxKeptSize)
	v.notOver("max_request_annotations", l.MaxRequestAnnotations, "max_message_size", l.MaxMessageSize)
	v.notOver("max_handshake", l.MaxHandshake, "max_message_size", l.MaxMessageSize)
	if least := l.StoreAndForward + l.MaxRequestAnnotations; l.FanoutMemory < least &&
		!v.source.unread["limits.store_and_forward"] && !v.source.unread["limits.max_request_annotations"] {
		v.problem("limits.fanout_memory", "%s is less than %s, which store_and_forward and max_request_annotations are together", l.FanoutMemory, least)
	}
	if l.SpillThreshold < l.StoreAndForward && v.source.has("limits.spill_threshold") && !v.source.unread["limits.store_and_forward"] {
		v.problem("limits.spill_threshold", "%s is less than %s, which store_and_forward is", l.SpillThreshold, l.StoreAndForward)
	}
	if l.SpillBytes > 0 && l.SpillBytes < l.SpillThreshold && !v.source.unread["limits.spill_threshold"] {
		v.problem("limits.spill_bytes", "%s is less than %s, which spill_threshold is; 0 keeps everything in memory", l.SpillBytes, l.SpillThreshold)
	}
	for _, key := range []string{"max_handshake", "store_and_forward", "max_request_annotations"} {
		if v.source.unread[join("limits", key)] {
			return
		}
	}
	// A quarter is for CONNECTs, the rest for requests. At least the largest that
	// is kept must fit, header included.
	const header = 40
	least := max(4*l.MaxHandshake, 2*(header+max(l.StoreAndForward, l.MaxRequestAnnotations)))
	if l.BufferMemory < least {
		v.problem("limits.buffer_memory", "%s is less than %s, which is 4 times max_handshake, and twice store_and_forward and max_request_annotations, whichever is more", l.BufferMemory, least)
	}
}

// notOver wants a limit that was written down within another: a wider one
// would never be reached. A default may be wider.
func (v *validator) notOver(key string, s Size, bound string, most Size) {
	path := join("limits", key)
	if s > most && most >= minSize && v.source.has(path) && !v.source.unread[join("limits", bound)] {
		v.problem(path, "%s is larger than %s, which is %s", s, bound, most)
	}
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// names is one namespace. The first bearer of a name keeps it.
type names map[string]string // name: path of its bearer

// name checks the name of the element at path. A derived one need not look
// like a name, as what it derives from is checked itself.
func (v *validator) name(taken names, path, name string, derived bool) {
	if !derived && !validName.MatchString(name) {
		v.problem(join(path, "name"), "%q is not a name: use letters, digits, dots, hyphens and underscores, beginning with a letter or digit", name)
		return
	}
	if first, ok := taken[name]; ok {
		v.problem(join(path, "name"), "%q is already the name of %s", name, first)
		return
	}
	taken[name] = path
}

func (v *validator) listeners(taken names) {
	if len(v.Listeners) == 0 {
		v.problem("listeners", "there are none: clients need at least one address to connect to")
	}
	for i, l := range v.Listeners {
		path := index("listeners", i)
		if l.Name != l.Address.String() { // equal addresses are a problem of their own
			v.name(taken, path, l.Name, false)
		}
		v.listenerAddress(join(path, "address"), i)
		if l.Address.Network == "unix" && !l.Advertise.IsZero() {
			v.problem(join(path, "advertise"), "means nothing for a Unix socket")
		}
		if l.DefaultDialect != Pyro4 && l.DefaultDialect != Pyro5 {
			v.problem(join(path, "default_dialect"), "is not set")
		}
		v.timeout(join(path, "handshake_timeout"), l.HandshakeTimeout, minTimeout)
		v.timeout(join(path, "request_timeout"), l.RequestTimeout, minTimeout)
		if l.MaxSessions < 1 {
			v.problem(join(path, "max_sessions"), "%d is too few: at least 1", l.MaxSessions)
		}
		if l.MaxSessionsPerSource < 0 {
			v.problem(join(path, "max_sessions_per_source"), "%d is negative: 0 means no limit", l.MaxSessionsPerSource)
		}
		v.times(path, times{l.Timeout, l.ConnectTimeout, l.SendTimeout, l.IdleTimeout, l.QueueTimeout})
	}
}

func (v *validator) listenerAddress(path string, i int) {
	a := v.Listeners[i].Address
	if a.IsZero() {
		v.problem(path, "is empty")
		return
	}
	for j, other := range v.Listeners[:i] {
		if a.clashesWith(other.Address) {
			v.problem(path, "%q is already taken by %s (%q)", a, index("listeners", j), other.Address)
			return
		}
	}
	if a.clashesWith(v.Admin.Address) {
		v.problem(path, "%q is already taken by the admin server (%q)", a, v.Admin.Address)
	}
}
