package metrics_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

const adminAddr = "192.0.2.1:9990"

// admin is a server on a network of its own, with a client that is not reused.
type admin struct {
	*metrics.Admin
	network *pyrotest.Network
	client  *http.Client
}

// startAdmin starts a server that the test shuts down, or leaves to its end.
func startAdmin(t *testing.T, ready func() error) *admin {
	t.Helper()
	return startAdminWith(t, ready, nil)
}

func startAdminWith(t *testing.T, ready func() error, api http.Handler) *admin {
	t.Helper()
	network := &pyrotest.Network{}
	ln, err := network.Listen(adminAddr)
	if err != nil {
		t.Fatal(err)
	}
	a := &admin{
		Admin:   metrics.StartAdmin(ln, newSet(), ready, api),
		network: network,
		client:  &http.Client{Transport: &http.Transport{DialContext: network.DialContext, DisableKeepAlives: true}},
	}
	t.Cleanup(func() { a.Shutdown(context.Background()) })
	return a
}

func alwaysReady() error { return nil }

// do makes a request, and returns the answer and its whole body.
func (a *admin) do(t *testing.T, method, path, accept string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+adminAddr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := a.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestAdminPaths(t *testing.T) {
	a := startAdmin(t, alwaysReady)
	const openMetrics = "application/openmetrics-text;version=1.0.0"
	tests := []struct {
		method, path, accept string
		status               int
		contentType          string
		body                 []string // parts of it
	}{
		{"GET", "/metrics", "", 200, "text/plain; version=0.0.4", []string{
			"# TYPE pyro_dispatch_sessions gauge\n", `pyro_dispatch_sessions{listener="front"} 0`,
			"pyro_dispatch_sessions_started_total{", "go_goroutines ", "process_open_fds ", "promhttp_metric_handler_errors_total{",
		}},
		{"GET", "/metrics", openMetrics, 200, "application/openmetrics-text; version=1.0.0", []string{
			"# TYPE pyro_dispatch_sessions_started counter\n", `pyro_dispatch_sessions_started_total{listener="front"} 0`, "\n# EOF\n",
		}},
		{"HEAD", "/metrics", "", 200, "text/plain", nil},
		{"GET", "/healthz", "", 200, "text/plain", []string{"ok\n"}},
		{"GET", "/readyz", "", 200, "text/plain", []string{"ready\n"}},
		{"GET", "/", "", 200, "text/html", []string{`href="/metrics"`, `href="/healthz"`, `href="/readyz"`}},
		{"GET", "/nothing", "", 404, "", nil},
		{"GET", "/api/clusters", "", 404, "", nil}, // there is no handler for it
		{"GET", "/metrics/", "", 404, "", nil},
		{"GET", "/debug/pprof/", "", 404, "", nil},
		{"POST", "/metrics", "", 405, "", nil},
		{"PUT", "/healthz", "", 405, "", nil},
		{"DELETE", "/readyz", "", 405, "", nil},
		{"POST", "/", "", 405, "", nil},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path+" "+test.accept, func(t *testing.T) {
			response, body := a.do(t, test.method, test.path, test.accept)
			if response.StatusCode != test.status {
				t.Errorf("status %s, want %d", response.Status, test.status)
			}
			if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, test.contentType) {
				t.Errorf("Content-Type %q, want %q", got, test.contentType)
			}
			for _, part := range test.body {
				if !strings.Contains(body, part) {
					t.Errorf("the body lacks %q", part)
				}
			}
			if allow := response.Header.Get("Allow"); test.status == 405 && allow != "GET, HEAD" {
				t.Errorf("Allow: %q", allow)
			}
		})
	}
}

// TestAdminAPI: what is below /api/ is the given handler's, whatever the method,
// with the path as the client sent it. The index leads there only where there is
// a handler.
func TestAdminAPI(t *testing.T) {
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, r.Method+" "+r.URL.EscapedPath())
	})
	const link = `href="/api/clusters"`
	a := startAdminWith(t, alwaysReady, api)
	for _, request := range []string{
		"GET /api/", "GET /api/clusters", "POST /api/clusters/lab/pause", "PUT /api/clusters",
		"POST /api/clusters/lab/endpoints/unix:%2Frun%2Fa.sock/drain",
	} {
		method, path, _ := strings.Cut(request, " ")
		if response, body := a.do(t, method, path, ""); response.StatusCode != http.StatusTeapot || body != request {
			t.Errorf("%s: got %s, %q", request, response.Status, body)
		}
	}
	for path, status := range map[string]int{"/apis": 404, "/healthz": 200, "/metrics": 200} {
		if response, _ := a.do(t, "GET", path, ""); response.StatusCode != status {
			t.Errorf("%s: got %s, want %d", path, response.Status, status)
		}
	}
	if _, body := a.do(t, "GET", "/", ""); !strings.Contains(body, link) {
		t.Errorf("the index does not lead to the API: %q", body)
	}
	if _, body := startAdmin(t, alwaysReady).do(t, "GET", "/", ""); strings.Contains(body, link) {
		t.Errorf("the index leads to an API that there is not: %q", body)
	}
}

// TestReady follows a dispatcher that starts, serves and drains.
func TestReady(t *testing.T) {
	var why atomic.Pointer[error]
	a := startAdmin(t, func() error { return *why.Load() })
	steps := []struct {
		why    error
		status int
		body   string
	}{
		{errors.New("starting"), 503, "starting\n"},
		{nil, 200, "ready\n"},
		{errors.New("draining"), 503, "draining\n"},
		{nil, 200, "ready\n"},
	}
	for _, step := range steps {
		why.Store(&step.why)
		if response, body := a.do(t, "GET", "/readyz", ""); response.StatusCode != step.status || body != step.body {
			t.Errorf("%v: got %s, %q", step.why, response.Status, body)
		}
		if response, _ := a.do(t, "GET", "/healthz", ""); response.StatusCode != 200 {
			t.Errorf("%v: healthz answers %s", step.why, response.Status)
		}
	}
}

// TestIdlersAreClosed: connections that do not get on with their request, or
// have none, cost something for a bounded time only.
func TestIdlersAreClosed(t *testing.T) {
	tests := []struct {
		name, sent string
		within     time.Duration
	}{
		{"nothing sent", "", 6 * time.Second},
		{"half a header", "GET /healthz HTTP/1.1\r\nHost: a", 6 * time.Second},
		{"a body that does not come", "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 30 * time.Second},
		{"kept alive", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 2 * time.Minute},
		{"a header without an end", "GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10), time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := startAdmin(t, alwaysReady)
				c, err := a.network.Dial(adminAddr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				go io.WriteString(c, test.sent) // fails where the server has had enough
				start := time.Now()
				c.SetReadDeadline(start.Add(test.within))
				if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("still open after %v", time.Since(start))
				}
			})
		})
	}
}

func TestShutdown(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { // which fails where a goroutine is left
			a := startAdmin(t, alwaysReady)
			a.do(t, "GET", "/healthz", "")
			if err := a.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := a.network.Dial(adminAddr); err == nil {
				t.Error("it still listens")
			}
			select {
			case err := <-a.Failed():
				t.Errorf("Failed delivers %v", err)
			default:
			}
		})
	})
	t.Run("at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := startAdmin(t, alwaysReady)
			if err := a.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if _, err := a.network.Dial(adminAddr); err == nil {
				t.Error("it still listens")
			}
		})
	})
	t.Run("a request in progress ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := startAdmin(t, func() error { time.Sleep(3 * time.Second); return nil })
			answered := a.begin(t, "/readyz")
			if err := a.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if status := <-answered; status != 200 {
				t.Errorf("the request in progress got %d", status)
			}
		})
	})
	t.Run("a request in progress has no more time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := startAdmin(t, func() error { time.Sleep(3 * time.Second); return nil })
			answered := a.begin(t, "/readyz")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			if err := a.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took != time.Second {
				t.Errorf("Shutdown took %v", took)
			}
			if status := <-answered; status != 0 {
				t.Errorf("the request in progress got %d", status)
			}
			time.Sleep(3 * time.Second) // until the handler is done
		})
	})
}

// begin makes a request and returns when it is being answered. The status is
// delivered, or 0 where the connection ended without one.
func (a *admin) begin(t *testing.T, path string) <-chan int {
	t.Helper()
	c, err := a.network.Dial(adminAddr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	status := make(chan int, 1)
	go func() {
		defer c.Close()
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			status <- 0
			return
		}
		response.Body.Close()
		status <- response.StatusCode
	}()
	synctest.Wait()
	return status
}

// TestAcceptFails: the program hears that its admin server is gone.
func TestAcceptFails(t *testing.T) {
	broken := errors.New("broken")
	a := metrics.StartAdmin(brokenListener{broken}, newSet(), alwaysReady, nil)
	if err := <-a.Failed(); !errors.Is(err, broken) {
		t.Errorf("Failed delivers %v", err)
	}
	if err := a.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

type brokenListener struct{ err error }

func (l brokenListener) Accept() (net.Conn, error) { return nil, l.err }
func (l brokenListener) Close() error              { return nil }
func (l brokenListener) Addr() net.Addr            { return &net.TCPAddr{} }
