package discovery

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pace"
)

// Resolver looks names up; *net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// DNSConfig says what to look up.
type DNSConfig struct {
	Cluster string // for logs
	// Name is a host and a port, of which all A and AAAA records are members;
	// with SRV it is the full name of SRV records, as in _pyro._tcp.lab.
	Name     string
	SRV      bool
	Interval time.Duration // between look-ups, with 10 % jitter; 0 is 30 s
	// Grace is for how long a name must not exist to be believed; 0 is 1 minute.
	Grace    time.Duration
	Resolver Resolver    // nil is the system's
	Log      *zap.Logger // may be nil
	Events   Events
}

const (
	defaultInterval = 30 * time.Second
	defaultDNSGrace = time.Minute
	lookupTimeout   = 10 * time.Second
)

// DNS is a source: what a name stands for.
//
// Of SRV records those with the lowest priority are members, by their weight (0
// counts as 1), under the name of the target, which is looked up anew for each
// connection. Records of higher priorities are not used.
//
// While a look-up fails the last members stay in force. That the name does not
// exist is a failure too, unless it is answered twice in a row at least, and for
// the grace: name servers that were started a moment ago say it, and those that
// are asked by mistake while a network is being set up; a resolver cannot tell
// these answers from one that was meant. Members that are gone do no harm for a
// minute, since a cluster without any would serve nobody either.
type DNS struct {
	config DNSConfig
	host   string
	port   int
}

// NewDNS makes a source. It looks nothing up before Run; an error is one of the
// configuration.
func NewDNS(c DNSConfig) (*DNS, error) {
	c.Interval = cmp.Or(c.Interval, defaultInterval)
	c.Grace = cmp.Or(c.Grace, defaultDNSGrace)
	if c.Resolver == nil {
		c.Resolver = resolver(net.DefaultResolver)
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	s := &DNS{config: c, host: c.Name}
	if !c.SRV {
		host, port, err := net.SplitHostPort(c.Name)
		if err != nil {
			return nil, fmt.Errorf("dns: %q is not a name with a port: %w", c.Name, err)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("dns: %q: the port is not a number from 1 to 65535", c.Name)
		}
		s.host, s.port = host, int(n)
	}
	if _, err := netip.ParseAddr(s.host); err != nil && !isHostName(s.host) || err == nil && c.SRV {
		return nil, fmt.Errorf("dns: %q is not a name", c.Name)
	}
	return s, nil
}

// Run is backend.Source's.
func (s *DNS) Run(ctx context.Context, set func([]backend.Member)) {
	log := s.config.Log.With(zap.String("cluster", s.config.Cluster))
	report := newReporter(log.With(zap.String("name", s.config.Name)), s.config.Events)
	updates := &updates{log: log, events: s.config.Events, set: set}
	m := &merger{groups: [][]part{make([]part, 1)}, sort: true, set: updates.tell}
	absent := absence{grace: s.config.Grace}
	var delays pace.Backoff
	for ctx.Err() == nil {
		members, problems, err := s.lookup(ctx)
		if ctx.Err() != nil {
			return
		}
		delay := s.config.Interval - s.config.Interval/20 + rand.N(s.config.Interval/10+1)
		if absent.believed(err) {
			members, problems, err = nil, nil, nil
		}
		if err != nil {
			report.failed(err)
			delay = min(delay, delays.Next())
		} else {
			delays.Reset()
			report.answered()
			report.nonsense(problems)
			m.know(0, 0, members)
		}
		pace.Sleep(ctx, delay)
	}
}

// absence knows since when every look-up has said that there is no such name.
type absence struct {
	grace time.Duration
	since time.Time // zero if the last one did not
}

// believed reports whether a look-up with this error means that there are no
// members any more.
func (a *absence) believed(err error) bool {
	if !notFound(err) {
		a.since = time.Time{}
		return false
	}
	if a.since.IsZero() {
		a.since = time.Now()
		return false
	}
	return time.Since(a.since) >= a.grace
}

func (s *DNS) lookup(ctx context.Context) ([]backend.Member, []problem, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if s.config.SRV {
		return s.lookupSRV(ctx)
	}
	ips, err := s.config.Resolver.LookupNetIP(ctx, "ip", s.host)
	if err != nil {
		return nil, nil, fmt.Errorf("looking up %s: %w", s.host, err)
	}
	var members []backend.Member
	var problems []problem
	for _, ip := range ips {
		address, err := tcpAddress(ip.String(), s.port)
		if err != nil {
			problems = append(problems, problem{where: s.host, what: err.Error()})
			continue
		}
		members = append(members, backend.Member{Address: address, Weight: 1})
	}
	return members, problems, allNonsense(members, problems)
}

func (s *DNS) lookupSRV(ctx context.Context) ([]backend.Member, []problem, error) {
	_, records, err := s.config.Resolver.LookupSRV(ctx, "", "", s.host)
	if err != nil && len(records) == 0 { // with some, others have invalid names
		return nil, nil, fmt.Errorf("looking up %s: %w", s.host, err)
	}
	var members []backend.Member
	var problems []problem
	if err != nil {
		problems = append(problems, problem{where: s.host, what: err.Error()})
	}
	lowest := uint16(65535)
	for _, r := range records {
		lowest = min(lowest, r.Priority)
	}
	for _, r := range records {
		if r.Priority != lowest || r.Target == "." { // the root: the service is not offered, says RFC 2782
			continue
		}
		address, err := tcpAddress(strings.TrimSuffix(r.Target, "."), int(r.Port))
		if err != nil {
			problems = append(problems, problem{where: s.host, what: err.Error()})
			continue
		}
		members = append(members, backend.Member{Address: address, Weight: max(int(r.Weight), 1)})
	}
	return members, problems, allNonsense(members, problems)
}
