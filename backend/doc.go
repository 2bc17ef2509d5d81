// Package backend knows the daemons: clusters of endpoints, how well each is,
// which one a client or a call gets, and the connection to it, handed out as a
// Lease. It keeps connections of mode call in pools, and those who must wait for
// one in a queue.
//
// It does not know what a call is. The messages that it reads are answers to
// CONNECTs of its own pools and health checks; where members come from is the
// business of package discovery, and how one of several is chosen of package
// balance. What a lease was good for is told to it by the one Lease.Done.
package backend
