package backend

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const connectTimeout = 3 * time.Second

// Addresses of the test network. Nobody listens at one that open was not
// called with.
const (
	addrA = "192.0.2.1:9999"
	addrB = "192.0.2.2:9999"
	addrC = "192.0.2.3:9999"
	addrD = "192.0.2.4:9999"
)

var addrABCD = []string{addrA, addrB, addrC, addrD}

// rig is a cluster called "lab" on a network of its own, with a note of every
// address dialled.
type rig struct {
	*Cluster
	network *pyrotest.Network
	set     *metrics.Set
	lowered bool // max_connections was: there may be more

	mu      sync.Mutex
	dialled []string
}

// newRig makes a rig of endpoints with undeclared dialects.
func newRig(endpoints ...string) *rig { return newRigOf(members(endpoints...)...) }

// members are those at the addresses, with undeclared dialects.
func members(addresses ...string) []Member {
	list := make([]Member, len(addresses))
	for i, addr := range addresses {
		list[i].Address = Address{Network: "tcp", Addr: addr}
	}
	return list
}

func newRigOf(endpoints ...Member) *rig {
	return newRigWith(Config{Members: endpoints})
}

// newRigWith makes a rig of a configuration, to which it adds what all rigs have.
// 0 retries are without a limit.
func newRigWith(cfg Config) *rig {
	r := &rig{
		network: &pyrotest.Network{Backlog: 4096}, // connections need not be accepted
		set:     metrics.New(metrics.Build{}),
	}
	cfg.Name, cfg.ConnectTimeout, cfg.Dialer, cfg.Metrics = "lab", connectTimeout, r, r.set
	if cfg.Retries == 0 {
		cfg.Retries = -1
	}
	r.Cluster = NewCluster(cfg)
	return r
}

func (r *rig) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	r.mu.Lock()
	r.dialled = append(r.dialled, address)
	r.mu.Unlock()
	return r.network.DialContext(ctx, network, address)
}

// open listens at the addresses until the test ends.
func (r *rig) open(t *testing.T, addresses ...string) {
	t.Helper()
	for _, addr := range addresses {
		l, err := r.network.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
}

// acquire gets a lease that the test relies on, for an attempt of its own where
// a is nil.
func (r *rig) acquire(t *testing.T, a *Attempt) *Lease {
	t.Helper()
	if a == nil {
		a = &Attempt{Dialect: wire.V502}
	}
	l, err := r.Acquire(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// samples returns the samples of a metric that are not 0, by the value of the
// given label.
func (r *rig) samples(t *testing.T, name, label string) map[string]float64 {
	t.Helper()
	families, err := r.set.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != "pyro_dispatch_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			for _, l := range m.GetLabel() {
				if l.GetName() == label && value != 0 {
					found[l.GetValue()] += value
				}
			}
		}
	}
	return found
}

// failures returns connect_failures_total by reason.
func (r *rig) failures(t *testing.T) map[string]float64 {
	t.Helper()
	return r.samples(t, "connect_failures_total", "reason")
}

// wantNoneOpen checks that the gauge of connections is back at 0.
func (r *rig) wantNoneOpen(t *testing.T) {
	t.Helper()
	if open := r.samples(t, "endpoint_connections", "endpoint"); len(open) > 0 {
		t.Errorf("endpoint_connections is %v after every Done", open)
	}
}

// learnt makes the endpoints known to speak d, as clients before would have.
func (r *rig) learnt(d wire.Dialect, addresses ...string) {
	for _, e := range r.members {
		for _, addr := range addresses {
			if e.Address.Addr == addr {
				e.learn(d)
			}
		}
	}
}
