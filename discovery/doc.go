// Package discovery finds the daemons of a cluster: from a fixed list, from DNS,
// from Consul, and from a Pyro name server. It also lists the services that Consul
// has with a tag, and registers the dispatcher itself.
//
// What it finds are backend.Members, handed to whoever runs a source. It
// connects to no daemon and does not know which are well; a source that cannot
// tell is silent, so that the last membership stays in force.
//
// It keeps no global state and reads no environment; files only where one was
// named (tokens, certificates).
package discovery
