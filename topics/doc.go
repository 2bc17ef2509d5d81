// Package topics is the registry of who listens to which topic: an object of ours that
// has the methods of the dispatcher in Pyro's example blob-dispatch, and a view of what
// was registered, there or at any other dispatcher with the same store.
//
// It does not deliver anything. Calls that carry a blob never get here, but are routed
// by what their annotation says.
package topics
