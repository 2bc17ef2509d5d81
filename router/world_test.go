package router_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// The times of all sessions in tests.
const (
	start         = time.Second
	handshakeTime = 10 * time.Second
	requestTime   = 20 * time.Second
	lingerTime    = 2 * time.Second
	answerTime    = 5 * time.Second

	streamIdleTime = 10 * time.Minute
)

// testLimits are small, so that whole conversations are.
var testLimits = router.Limits{Message: 4096, Annotations: 256, Handshake: 1024, StoreAndForward: 512}

// world is what the sessions of a test share.
type world struct {
	set       *metrics.Set
	endpoints int
	dialer    dialer
	cluster   *backend.Cluster
	route     *router.Route
	env       router.Env
	alter     func(*backend.Config) // what is different about the cluster; may be nil
	counted   *counted              // at the last finish
	all       []*harness

	// In mode call.

	lines   map[*backend.Conn]*line
	answers func(address string, connect pyrotest.Message) []byte // to a CONNECT; nil: the daemon hangs up
}

// dialer connects to nobody, or fails with the address's error.
type dialer map[string]error

func (d dialer) DialContext(_ context.Context, _, address string) (net.Conn, error) {
	if err := d[address]; err != nil {
		return nil, err
	}
	near, _ := net.Pipe()
	return near, nil
}

// answering is a dialer to daemons that answer the CONNECT.
type answering struct {
	dialer
	w *world
}

func (d answering) DialContext(_ context.Context, _, address string) (net.Conn, error) {
	if err := d.dialer[address]; err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	go func() {
		connect, err := pyrotest.ReadMessage(far)
		if err != nil {
			return // given up
		}
		if b := d.w.answers(address, connect); b != nil {
			_, _ = far.Write(b)
		} else {
			_ = far.Close()
		}
	}()
	return near, nil
}

// newWorld makes a world with one route to a cluster of that many endpoints.
func newWorld(endpoints int) *world {
	w := &world{set: metrics.New(metrics.Build{}), dialer: dialer{}, endpoints: endpoints, counted: &counted{}}
	// They take longer to gather than most tests take.
	w.set.Registry.Unregister(collectors.NewGoCollector())
	w.set.Registry.Unregister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	w.env = router.Env{
		Listener:       "main",
		Limits:         testLimits,
		DefaultDialect: wire.V502,
		HandshakeTime:  handshakeTime,
		RequestTime:    requestTime,
		LingerTime:     lingerTime,
		Timeouts:       clusters,
		Metrics:        w.set.Listener("main"),
	}
	return w.again()
}

// newPool is newWorld for mode call.
func newPool(endpoints int, alter func(*backend.Config)) *world {
	w := newWorld(endpoints)
	w.lines, w.answers, w.alter = map[*backend.Conn]*line{}, welcomes, alter
	return w.again()
}

func endpoint(i int) backend.Address {
	return backend.Address{Network: "tcp", Addr: fmt.Sprintf("192.0.2.%d:9999", i)}
}

// again is the world with a cluster that has learnt nothing. Metrics go on.
func (w *world) again() *world {
	fresh := *w
	c := backend.Config{Name: "cluster", Dialer: w.dialer, Metrics: w.set, ConnectTimeout: time.Minute, Retries: -1}
	for i := range w.endpoints {
		c.Members = append(c.Members, backend.Member{Address: endpoint(i + 1)})
	}
	clear(w.dialer)
	fresh.all = nil
	fresh.route = &router.Route{Name: "route", Calls: w.set.Calls("route", "cluster"), Policy: router.Policy{Preserve: true}, Timeouts: clusters}
	if w.lines != nil {
		fresh.lines = map[*backend.Conn]*line{}
		fresh.route.Mode, fresh.route.ShareHandshake, fresh.route.StreamIdleTime = router.ModeCall, true, streamIdleTime
		c.Dialer = answering{w.dialer, &fresh}
		c.Adopt = func(conn *backend.Conn) { conn.Reader = fresh.line(conn) }
		c.GhostTimeout = time.Hour
		c.MaxPinned = 1
	}
	if w.alter != nil {
		w.alter(&c)
	}
	fresh.cluster = backend.NewCluster(c)
	fresh.route.Cluster = fresh.cluster
	table := router.NewTable([]*router.Route{fresh.route})
	fresh.env.Table = func() *router.Table { return table }
	return &fresh
}

// snapshot is the state of all metrics.
type snapshot map[string]*dto.MetricFamily

func (w *world) snapshot(t testing.TB) snapshot {
	t.Helper()
	families, err := w.set.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	s := make(snapshot, len(families))
	for _, f := range families {
		s[f.GetName()] = f
	}
	return s
}

// counts gives the values of a metric other than 0, by the values of one of its
// labels.
func (s snapshot) counts(t testing.TB, name, label string) map[string]float64 {
	t.Helper()
	f := s["pyro_dispatch_"+name]
	if f == nil {
		t.Fatalf("no metric %s", name)
	}
	values := map[string]float64{}
	for _, m := range f.GetMetric() {
		v := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		for _, l := range m.GetLabel() {
			if l.GetName() == label && v != 0 {
				values[l.GetValue()] += v
			}
		}
	}
	return values
}

func (w *world) counts(t testing.TB, name, label string) map[string]float64 {
	t.Helper()
	return w.snapshot(t).counts(t, name, label)
}
