package admin_test

import (
	"context"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyro-dispatch/pyro-dispatch/admin"
	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
)

var update = flag.Bool("update", false, "rewrite the example in docs/admin-api.md from what the code says now")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nowhere is a Dialer that reaches nobody, and notes whom it should have.
type nowhere struct {
	mu      sync.Mutex
	dialled []string
}

func (n *nowhere) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dialled = append(n.dialled, backend.Address{Network: network, Addr: address}.String())
	return nil, syscall.ECONNREFUSED
}

// take returns, sorted, whom it should have reached since it was asked last.
func (n *nowhere) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := slices.Sorted(slices.Values(n.dialled))
	n.dialled = nil
	return taken
}

// newCluster makes a cluster whose clients try every endpoint.
func newCluster(name string, d backend.Dialer, endpoints ...backend.Address) *backend.Cluster {
	members := make([]backend.Member, len(endpoints))
	for i, a := range endpoints {
		members[i].Address = a
	}
	return backend.NewCluster(backend.Config{
		Name: name, Members: members, Dialer: d, Retries: -1,
		ConnectTimeout: 3 * time.Second, Queue: 10, QueueTimeout: time.Minute,
		Metrics: metrics.New(metrics.Build{}),
	})
}

func tcp(addr string) backend.Address  { return backend.Address{Network: "tcp", Addr: addr} }
func unix(path string) backend.Address { return backend.Address{Network: "unix", Addr: path} }

// server is the handler below /api/, as the admin server mounts it.
type server struct{ http.Handler }

func newServer(clusters ...*backend.Cluster) server {
	mux := http.NewServeMux()
	mux.Handle("/api/", admin.Handler(func() []*backend.Cluster { return clusters }, admin.Calls{}, nil))
	return server{mux}
}

// ask makes a request with the given pairs of header and value.
func (s server) ask(method, path string, header ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, "http://127.0.0.1:9990"+path, nil)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response := httptest.NewRecorder()
	s.ServeHTTP(response, request)
	return response
}

// status makes a request that is answered with the status of a cluster.
func (s server) status(t *testing.T, method, path string) (status backend.Status) {
	t.Helper()
	response := s.ask(method, path)
	if response.Code != http.StatusOK {
		t.Fatalf("%s %s: %d, %s", method, path, response.Code, response.Body)
	}
	decode(t, response, &status)
	return status
}

// decode reads an answer that must be nothing but JSON of v's type.
func decode(t *testing.T, response *httptest.ResponseRecorder, v any) {
	t.Helper()
	if got := response.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	d := json.NewDecoder(response.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatal(err)
	}
	if d.More() {
		t.Error("there is more behind the answer")
	}
}

// states returns the states of a cluster's endpoints.
func states(s backend.Status) map[string]string {
	found := make(map[string]string)
	for _, e := range s.Endpoints {
		found[e.Address] = e.State
	}
	return found
}
