package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin is the HTTP server for operators and their tools:
//
//	/metrics  the collectors, in Prometheus' and OpenMetrics' formats
//	/healthz  200 while the process runs
//	/readyz   200 while clients are accepted, 503 with the reason otherwise
//	/api/     what the handler for it does
type Admin struct {
	server *http.Server
	failed chan error
}

// StartAdmin serves set on ln, which it closes when it is shut down. ready says
// why clients are not accepted, nil when they are. api may be nil.
func StartAdmin(ln net.Listener, set *Set, ready func() error, api http.Handler) *Admin {
	mux := http.NewServeMux()
	index := indexHead + indexEnd
	if api != nil {
		mux.Handle("/api/", api)
		index = indexHead + indexAPI + indexEnd
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(set.Registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		Registry:          set.Registry,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, index)
	})
	a := &Admin{
		server: &http.Server{
			Handler:           mux,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
		},
		failed: make(chan error, 1),
	}
	go a.serve(ln)
	return a
}

// The page at / leads to the others.
const (
	indexHead = `<!doctype html><title>pyro-dispatch</title><h1>pyro-dispatch</h1>
<p><a href="/metrics">metrics</a> · <a href="/healthz">healthz</a> · <a href="/readyz">readyz</a>`
	indexAPI = ` · <a href="/api/clusters">clusters</a>`
	indexEnd = "</p>\n"
)

func (a *Admin) serve(ln net.Listener) {
	if err := a.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		a.failed <- err
	}
}

// Failed delivers the error that stopped the server, if one did.
func (a *Admin) Failed() <-chan error { return a.failed }

// Shutdown stops the server, letting requests in progress end until ctx does.
func (a *Admin) Shutdown(ctx context.Context) error {
	if err := a.server.Shutdown(ctx); err != nil {
		return a.server.Close()
	}
	return nil
}
