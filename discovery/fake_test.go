package discovery

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// fakeConsul is a Consul in memory, which is its own transport: so its time is
// that of the bubble. Its catalogue answers blocking queries as Consul does.
type fakeConsul struct {
	mu       sync.Mutex
	index    uint64
	changed  chan struct{}
	health   map[string][]*api.ServiceEntry // by datacenter/service
	agent    map[string]*api.AgentServiceRegistration
	requests []*http.Request
	at       []time.Time // of the requests
	// script answers in place of the catalogue, where it returns true.
	script http.HandlerFunc
}

func newFakeConsul() *fakeConsul {
	return &fakeConsul{
		index:   10,
		changed: make(chan struct{}),
		health:  make(map[string][]*api.ServiceEntry),
		agent:   make(map[string]*api.AgentServiceRegistration),
	}
}

// client makes a client of the fake.
func (f *fakeConsul) client(t *testing.T, c ClientConfig) *Client {
	t.Helper()
	target, err := parseAddress("", false)
	if err != nil {
		t.Fatal(err)
	}
	client, err := newClient(c, target, f)
	if err != nil {
		t.Fatal(err)
	}
	client.limit = 1 << 16
	return client
}

// RoundTrip runs the handler, and gives up when the request's context ends.
func (f *fakeConsul) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	f.at = append(f.at, time.Now())
	handler := f.script
	f.mu.Unlock()
	if handler == nil {
		handler = f.serve
	}
	rec := httptest.NewRecorder()
	handler(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if rec.Code == broken {
		return nil, errBrokenPipe
	}
	return rec.Result(), nil
}

// broken is the status with which a script breaks the connection.
const broken = 599

var errBrokenPipe = fmt.Errorf("the connection was broken")

// change lets change happen to the catalogue.
func (f *fakeConsul) change(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	f.index++
	close(f.changed)
	f.changed = make(chan struct{})
}

// set makes these the instances of a service.
func (f *fakeConsul) set(service string, entries ...*api.ServiceEntry) {
	f.change(func() { f.health[service] = entries })
}

// answer sets the script; nil is the catalogue again.
func (f *fakeConsul) answer(script http.HandlerFunc) {
	f.mu.Lock()
	f.script = script
	f.mu.Unlock()
}

// asked returns the queries so far, without those that are the same each time.
func (f *fakeConsul) asked() []url.Values {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []url.Values
	for _, r := range f.requests {
		all = append(all, r.URL.Query())
	}
	return all
}

func (f *fakeConsul) serve(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	asked, _ := strconv.ParseUint(q.Get("index"), 10, 64)
	wait, _ := time.ParseDuration(q.Get("wait"))
	timeout := time.After(wait)
	for f.current() <= asked {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			asked = 0
		case <-r.Context().Done():
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	ledBy(w, f.index)
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/v1/health/service/"):
		reply(w, f.instances(q, strings.TrimPrefix(path, "/v1/health/service/")))
	case path == "/v1/catalog/services":
		tags := map[string][]string{"consul": {}}
		for name, entries := range f.health {
			for _, e := range entries {
				tags[name] = append(tags[name], e.Service.Tags...)
			}
		}
		reply(w, tags)
	case strings.HasPrefix(path, "/v1/catalog/service/"):
		instances := []*api.CatalogService{}
		for _, e := range f.instances(q, strings.TrimPrefix(path, "/v1/catalog/service/")) {
			instances = append(instances, &api.CatalogService{ServiceID: e.Service.ID, ServiceMeta: e.Service.Meta})
		}
		reply(w, instances)
	default:
		f.serveAgent(w, r)
	}
}

func (f *fakeConsul) current() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index
}

func (f *fakeConsul) instances(q url.Values, service string) []*api.ServiceEntry {
	if dc := q.Get("dc"); dc != "" {
		service = dc + "/" + service
	}
	found := []*api.ServiceEntry{}
	for _, e := range f.health[service] {
		if q.Get("passing") != "" && e.Checks.AggregatedStatus() != api.HealthPassing {
			continue
		}
		missing := slices.ContainsFunc(q["tag"], func(tag string) bool {
			return !slices.ContainsFunc(e.Service.Tags, func(has string) bool { return strings.EqualFold(tag, has) })
		})
		if !missing {
			found = append(found, e)
		}
	}
	return found
}

// serveAgent keeps registrations. It does not block; the pace of who asks is
// then that of its own limit.
func (f *fakeConsul) serveAgent(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/v1/agent/service/register":
		var service api.AgentServiceRegistration
		if err := json.NewDecoder(r.Body).Decode(&service); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.agent[service.ID] = &service
	case strings.HasPrefix(path, "/v1/agent/service/deregister/"):
		delete(f.agent, strings.TrimPrefix(path, "/v1/agent/service/deregister/"))
	default:
		id := strings.TrimPrefix(path, "/v1/agent/service/")
		if f.agent[id] == nil {
			http.Error(w, "unknown service ID", http.StatusNotFound)
			return
		}
		reply(w, &api.AgentService{ID: id, ContentHash: "abc"})
	}
}

// ledBy writes the headers of an answer with a leader behind it.
func ledBy(w http.ResponseWriter, index uint64) {
	h := w.Header()
	h.Set("X-Consul-Index", strconv.FormatUint(index, 10))
	h.Set("X-Consul-KnownLeader", "true")
	h.Set("X-Consul-LastContact", "0")
	h.Set("X-Consul-Query-Backend", "blocking-query")
}

func reply(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

// entry makes a passing instance. Its address is 192.0.2.1 with the port.
func entry(port int, more ...func(*api.ServiceEntry)) *api.ServiceEntry {
	e := &api.ServiceEntry{
		Node:    &api.Node{Node: "node", Address: "192.0.2.9"},
		Service: &api.AgentService{ID: "id-" + strconv.Itoa(port), Address: "192.0.2.1", Port: port, Weights: api.AgentWeights{Passing: 1, Warning: 1}},
		Checks:  api.HealthChecks{{CheckID: "serfHealth", Status: api.HealthPassing}},
	}
	for _, f := range more {
		f(e)
	}
	return e
}

func weighing(passing, warning int) func(*api.ServiceEntry) {
	return func(e *api.ServiceEntry) { e.Service.Weights = api.AgentWeights{Passing: passing, Warning: warning} }
}

func checked(status string) func(*api.ServiceEntry) {
	return func(e *api.ServiceEntry) {
		e.Checks = append(e.Checks, &api.HealthCheck{CheckID: "check", Status: status})
	}
}

func tagged(tags ...string) func(*api.ServiceEntry) {
	return func(e *api.ServiceEntry) { e.Service.Tags = tags }
}

func meta(pairs ...string) func(*api.ServiceEntry) {
	return func(e *api.ServiceEntry) {
		e.Service.Meta = make(map[string]string)
		for i := 0; i < len(pairs); i += 2 {
			e.Service.Meta[pairs[i]] = pairs[i+1]
		}
	}
}
