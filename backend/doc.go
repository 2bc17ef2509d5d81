// Package backend knows the daemons: clusters of endpoints, which endpoint a
// client gets, and the connection to it, handed out as a Lease.
//
// It does not know what a call is, reads no message, and keeps no client
// waiting on anything but a connection being made. What a lease was good for
// is told to it by the one Lease.Done.
package backend
