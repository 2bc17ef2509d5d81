// Package router decides: which route a client takes, and, message by message,
// what happens to its bytes. Its Session is a state machine without I/O; a
// driver (package relay) tells it what happened and carries out what it asks.
//
// It dials nothing, reads no clock, starts no goroutine and writes no log: the
// driver does, and hears of what matters through an Observer.
package router
