// Package admin answers operators' questions about clusters, and does what they
// ask, over HTTP. It is mounted on the admin server of package metrics. It keeps
// nothing and decides nothing; it is not for clients.
package admin

import (
	"net/http"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
)

// Handler serves /api/ for the clusters that there are when it is asked.
func Handler(clusters func() []*backend.Cluster) http.Handler {
	return http.NewServeMux()
}
