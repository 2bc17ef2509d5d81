package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
)

// answering answers with what do gives.
func answering(do func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := do(r)
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		answer(w, http.StatusOK, v)
	}
}

func statusOf(err error) int {
	var missing *notFoundError
	if errors.As(err, &missing) {
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

func refuse(w http.ResponseWriter, status int, err error) {
	answer(w, status, struct {
		Error string `json:"error"`
	}{err.Error()})
}

// answer writes v as JSON for people.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // nobody is left to tell
}

// notFoundError is a question for what there is not, with what there is.
type notFoundError struct {
	what  string
	there []string
}

func (e *notFoundError) Error() string {
	if len(e.there) == 0 {
		return e.what + "; there is none"
	}
	return e.what + "; there is " + strings.Join(e.there, ", ")
}

func noCluster(all []*backend.Cluster, name string) error {
	e := &notFoundError{what: fmt.Sprintf("no cluster %s", name)}
	for _, c := range all {
		e.there = append(e.there, c.Name())
	}
	return e
}

// noEndpoint: an endpoint that is "removed" can be seen, but no more than that.
func noEndpoint(s *backend.Status, address string) error {
	e := &notFoundError{what: fmt.Sprintf("no endpoint %s in cluster %s", address, s.Name)}
	for i := range s.Endpoints {
		if s.Endpoints[i].State != "removed" {
			e.there = append(e.there, s.Endpoints[i].Address)
		}
	}
	return e
}

// noPath answers where there is nothing, also to an address whose slashes are
// not escaped.
func (a *api) noPath(w http.ResponseWriter, r *http.Request) {
	e := &notFoundError{what: fmt.Sprintf("no path %s", r.URL.EscapedPath())}
	for _, p := range a.paths() {
		e.there = append(e.there, p.method+" "+p.path)
	}
	refuse(w, statusOf(e), e)
}

// notAllowed answers where there is something, but with the given method only.
func notAllowed(method string) http.HandlerFunc {
	allowed := method
	if method == http.MethodGet {
		allowed = "GET, HEAD"
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allowed)
		refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s is not for %s; there is %s", r.URL.EscapedPath(), r.Method, allowed))
	}
}

var errCrossOrigin = errors.New("a page of another server may not do this")

func crossOrigin(w http.ResponseWriter, _ *http.Request) {
	refuse(w, http.StatusForbidden, errCrossOrigin)
}
