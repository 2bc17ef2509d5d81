// Package metrics holds the dispatcher's Prometheus collectors and the admin
// HTTP server that shows them. It is for counting, not for deciding: no other
// package's behaviour depends on a value kept here.
//
// Label values come from configuration only (names of listeners, routes and
// clusters, endpoint addresses) or from the fixed lists in this package, so no
// client can make the number of series grow.
package metrics
