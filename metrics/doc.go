// Package metrics holds the dispatcher's Prometheus collectors and the admin
// HTTP server that shows them. It is for counting, not for deciding: no other
// package's behaviour depends on a value kept here.
//
// Label values come from configuration (names of listeners, routes and clusters,
// endpoint addresses), from the sources that it names (addresses, and services
// that became clusters), or from the fixed lists in this package, so no client
// can make the number of series grow. What a source no longer names loses its
// series.
package metrics
