package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pace"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Caller makes calls to a name server's object. One that also has a method Dialect()
// wire.Dialect says what the name server speaks.
type Caller interface {
	Call(ctx context.Context, method string, args []values.Value, kwargs values.Dict) (values.Value, error)
	Close() error
}

// NameServerConfig says which names of which name server are members. Of Prefix,
// Regex, MetadataAll and MetadataAny one may be set; without any all names count, but
// for the name server's own.
type NameServerConfig struct {
	Cluster string // for logs
	Server  string // for logs: the name server's address
	// Dial connects to the name server's object.
	Dial   func(context.Context) (Caller, error)
	Prefix string // of the name
	// Regex is one of Python's, which the name server matches with the beginning of the
	// name (re.match).
	Regex       string
	MetadataAll []string      // metadata that a name must all have
	MetadataAny []string      // metadata of which a name must have some
	Dialect     wire.Dialect  // of the members; 0 is the name server's
	Interval    time.Duration // between questions, with 10 % jitter; 0 is 10 s
	Timeout     time.Duration // for a question, with connecting; 0 is 5 s
	// Grace is for how long no name must match to be believed; 0 is 1 minute.
	Grace time.Duration
	// OnNames is told of the names, in their order, when they have changed, before the
	// members are set; it may be nil. It is called by the goroutine of Run.
	OnNames func([]Named)
	Log     *zap.Logger // may be nil
	Events  Events
}

// Named is a name, and where the object is that it stands for.
type Named struct {
	Name string
	backend.Member
}

const (
	defaultNamesInterval = 10 * time.Second
	defaultNamesTimeout  = 5 * time.Second
	defaultNamesGrace    = time.Minute
)

// NameServer is a source: where the names of a Pyro name server are, and which objects
// they stand for.
//
// It connects for each question, and not again while one is being asked: an idle
// connection would keep a thread of the name server's. One that did not answer in time
// is not asked again before the interval is over, so that few of our connections wait
// for one that is frozen to come back, which it has to serve one after the other if it
// is multiplexed; one that cannot be connected is asked again soon, at first.
//
// While the name server cannot be asked the last members stay in force. That no
// name matches counts only when it is answered twice in a row at least, and for the
// grace: a name server that keeps its names in memory knows none when it was started
// a moment ago, and daemons do not register again by themselves.
type NameServer struct {
	config NameServerConfig
	method func(wire.Dialect) (string, values.Dict) // what to call
}

// NewNameServer makes a source. It asks nothing before Run; an error is one of the
// configuration.
func NewNameServer(c NameServerConfig) (*NameServer, error) {
	if c.Dial == nil {
		return nil, errors.New("name server: there is nothing to connect with")
	}
	method, err := question(&c)
	if err != nil {
		return nil, err
	}
	c.Interval = cmp.Or(c.Interval, defaultNamesInterval)
	c.Timeout = cmp.Or(c.Timeout, defaultNamesTimeout)
	c.Grace = cmp.Or(c.Grace, defaultNamesGrace)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.OnNames == nil {
		c.OnNames = func([]Named) {}
	}
	return &NameServer{config: c, method: method}, nil
}

// question says what to call for the names that are wanted.
func question(c *NameServerConfig) (func(wire.Dialect) (string, values.Dict), error) {
	var list values.Dict
	filters := 0
	filter := func(argument string, value values.Value, is bool) {
		if is {
			filters++
			list = values.Dict{{Key: argument, Value: value}}
		}
	}
	// NameServer.list of Pyro4/naming.py, and of Pyro5/nameserver.py but for metadata.
	filter("prefix", c.Prefix, c.Prefix != "")
	filter("regex", c.Regex, c.Regex != "")
	filter("metadata_all", metadata(c.MetadataAll), len(c.MetadataAll) > 0)
	filter("metadata_any", metadata(c.MetadataAny), len(c.MetadataAny) > 0)
	if filters > 1 {
		return nil, errors.New("name server: there is more than one of prefix, regex, metadata_all and metadata_any")
	}
	if slices.Contains(c.MetadataAll, "") || slices.Contains(c.MetadataAny, "") {
		return nil, errors.New("name server: metadata is empty")
	}
	if len(c.MetadataAll) == 0 && len(c.MetadataAny) == 0 {
		return func(wire.Dialect) (string, values.Dict) { return "list", list }, nil
	}
	return func(d wire.Dialect) (string, values.Dict) {
		if d == wire.V48 {
			return "list", list
		}
		// Pyro5's yplookup, which gives the metadata as well unless told not to.
		argument := "meta_all"
		if len(c.MetadataAny) > 0 {
			argument = "meta_any"
		}
		return "yplookup", values.Dict{{Key: argument, Value: list[0].Value}, {Key: "return_metadata", Value: false}}
	}, nil
}

// metadata is the argument for these, each once: SqlStorage of both libraries counts
// them.
func metadata(all []string) values.Value {
	var list values.List
	for _, m := range slices.Compact(slices.Sorted(slices.Values(all))) {
		list = append(list, m)
	}
	return list
}

// Run is backend.Source's.
func (s *NameServer) Run(ctx context.Context, set func([]backend.Member)) {
	log := s.config.Log.With(zap.String("cluster", s.config.Cluster))
	report := newReporter(log.With(zap.String("name_server", s.config.Server)), s.config.Events)
	updates := &updates{log: log, events: s.config.Events, set: set}
	m := &merger{groups: [][]part{make([]part, 1)}, sort: true, set: updates.tell}
	none := emptiness{grace: s.config.Grace}
	var told bool
	var last []Named
	var delays pace.Backoff
	for ctx.Err() == nil {
		names, problems, err := s.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		delay := s.config.Interval - s.config.Interval/20 + rand.N(s.config.Interval/10+1)
		if err == nil && len(names) == 0 && !none.believed() {
			err = errNoNames
		} else if err != nil || len(names) > 0 {
			none.since = time.Time{}
		}
		switch {
		case errors.Is(err, errNoNames):
			report.failed(err)
		case err != nil:
			report.failed(err)
			if reasonOf(err) != ReasonTimeout {
				delay = min(delay, delays.Next())
			}
		default:
			delays.Reset()
			report.answered()
			report.nonsense(problems)
			if !told || !slices.Equal(names, last) {
				told, last = true, names
				s.config.OnNames(slices.Clone(names))
			}
			m.know(0, 0, members(names))
		}
		pace.Sleep(ctx, delay)
	}
}

// emptiness knows since when every answer has had no names.
type emptiness struct {
	grace time.Duration
	since time.Time // zero if the last one had some, or there was none
}

// believed reports whether one more such answer means that there are no members.
func (e *emptiness) believed() bool {
	if e.since.IsZero() {
		e.since = time.Now()
		return false
	}
	return time.Since(e.since) >= e.grace
}

func members(names []Named) []backend.Member {
	all := make([]backend.Member, 0, len(names))
	for _, n := range names {
		all = append(all, n.Member)
	}
	return all
}

// ask asks once, over a connection of its own.
func (s *NameServer) ask(ctx context.Context) ([]Named, []problem, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	caller, err := s.config.Dial(ctx)
	if err != nil {
		return nil, nil, askingError("connecting", err, ReasonServer)
	}
	defer func() { _ = caller.Close() }() // there is nothing more to be said
	speaks := s.config.Dialect
	if c, ok := caller.(interface{ Dialect() wire.Dialect }); ok {
		speaks = c.Dialect()
	}
	method, kwargs := s.method(speaks)
	v, err := caller.Call(ctx, method, nil, kwargs)
	if err != nil {
		return nil, nil, askingError("calling "+method, err, ReasonNonsense)
	}
	all, ok := v.(values.Dict)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %s gives no dict", errNonsense, method)
	}
	names, problems := s.read(all, cmp.Or(s.config.Dialect, speaks))
	return names, problems, allNonsense(names, problems)
}
