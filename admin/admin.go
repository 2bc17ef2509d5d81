// Package admin answers operators' questions about clusters and calls, and does what they
// ask, over HTTP. It is mounted on the admin server of package metrics. It keeps
// nothing and decides nothing; it is not for clients. docs/admin-api.md is its
// reference.
package admin

import (
	"cmp"
	"errors"
	"net/http"
	"slices"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
)

// Handler serves /api/ for the clusters that there are when it is asked, calls, and the
// endpoints that are exposed then (nil: none are). The page
// of another server cannot change anything by way of a browser, which may reach
// what that page's author does not. There is no other protection.
func Handler(clusters func() []*backend.Cluster, calls Calls, exposed func() []Exposed) http.Handler {
	a := &api{clusters: clusters, graph: calls, exposed: exposed}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/", a.noPath)
	for _, p := range a.paths() {
		mux.HandleFunc(p.method+" "+p.path, answering(p.do))
		mux.HandleFunc(p.path, notAllowed(p.method)) // which net/http would not say in JSON
	}
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(crossOrigin))
	return protection.Handler(mux)
}

type api struct {
	clusters func() []*backend.Cluster
	graph    Calls
	exposed  func() []Exposed
}

// path is something that can be asked for.
type path struct {
	method, path string
	do           func(*http.Request) (any, error)
}

func (a *api) paths() []path {
	const cluster, endpoint = "/api/clusters/{cluster}", "/api/clusters/{cluster}/endpoints/{endpoint}"
	return []path{
		{"GET", "/api/calls", a.calls},
		{"GET", "/api/clusters", a.all},
		{"GET", "/api/exposed", a.exposedPorts},
		{"GET", cluster, a.one(func(*backend.Cluster) {})},
		{"POST", cluster + "/pause", a.one((*backend.Cluster).Pause)},
		{"POST", cluster + "/resume", a.one((*backend.Cluster).Resume)},
		{"POST", endpoint + "/drain", a.endpoint((*backend.Cluster).Drain)},
		{"POST", endpoint + "/undrain", a.endpoint((*backend.Cluster).Undrain)},
	}
}

// all answers with every cluster, sorted by name.
func (a *api) all(*http.Request) (any, error) {
	all := []backend.Status{}
	for _, c := range a.sorted() {
		all = append(all, c.Status())
	}
	return all, nil
}

// one does something to the cluster in the path, and answers with its status
// then.
func (a *api) one(do func(*backend.Cluster)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		c, err := a.cluster(r)
		if err != nil {
			return nil, err
		}
		do(c)
		return c.Status(), nil
	}
}

// endpoint does something to the endpoint in the path, and answers with its
// cluster's status then.
func (a *api) endpoint(do func(c *backend.Cluster, address string) error) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		c, err := a.cluster(r)
		if err != nil {
			return nil, err
		}
		address := r.PathValue("endpoint")
		err = do(c, address)
		status := c.Status()
		if errors.Is(err, backend.ErrNoEndpoint) {
			return nil, noEndpoint(&status, address)
		}
		return status, err
	}
}

// cluster finds the one in the path.
func (a *api) cluster(r *http.Request) (*backend.Cluster, error) {
	name, all := r.PathValue("cluster"), a.sorted()
	i := slices.IndexFunc(all, func(c *backend.Cluster) bool { return c.Name() == name })
	if i < 0 {
		return nil, noCluster(all, name)
	}
	return all[i], nil
}

func (a *api) sorted() []*backend.Cluster {
	return slices.SortedFunc(slices.Values(a.clusters()), func(x, y *backend.Cluster) int {
		return cmp.Compare(x.Name(), y.Name())
	})
}
