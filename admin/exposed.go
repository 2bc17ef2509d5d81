package admin

import "net/http"

// Exposed is an endpoint that has a port of its own, and how its daemon is told to say
// so: by the variables PYRO_NATHOST and PYRO_NATPORT.
type Exposed struct {
	Cluster  string `json:"cluster"`
	Endpoint string `json:"endpoint"`
	NATHost  string `json:"nathost"` // in brackets where it is an IPv6 address
	NATPort  int    `json:"natport"`
	Set      string `json:"set"` // the same, as it is written in a shell
}

// exposedStatus is the answer.
type exposedStatus struct {
	Endpoints []Exposed `json:"endpoints"`
}

// exposedPorts answers with the endpoints that have ports of their own.
func (a *api) exposedPorts(*http.Request) (any, error) {
	s := exposedStatus{Endpoints: []Exposed{}}
	if a.exposed != nil {
		s.Endpoints = append(s.Endpoints, a.exposed()...)
	}
	return s, nil
}
