// Package expose gives each endpoint or name a port of its own that stays the same:
// for daemons that are told, with NATHOST and NATPORT, to publish the dispatcher's
// address in place of theirs, so that proxies that travel inside payloads work from
// outside.
//
// It chooses and remembers the ports ([Ports]), keeps listeners open on them
// ([Listeners]), and says what to set ([Advice]). It accepts no connections, and does
// not know what is behind a key.
package expose
