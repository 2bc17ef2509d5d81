// Package pyrotest is for tests only: an in-memory network, and a Pyro daemon
// and client that do exactly what a test tells them to, well or badly. It has
// no place in production: it trusts its callers, keeps whole messages in
// memory and panics on misuse. What real Pyro does is checked elsewhere, with
// real Pyro (integration/).
//
// [Network] gives net.Listeners and net.Conns with deadlines, half-close,
// resets, back-pressure and errors like those of TCP sockets. Everything in it
// blocks durably, so it works inside testing/synctest bubbles, where it must
// be created.
//
// [Daemon] serves any net.Listener. Its zero value answers both dialects and
// echoes each call's payload; function fields ([Script]) replace what it does
// on a CONNECT, INVOKE or PING, and this package has scripts for the common
// kinds of bad behaviour. A [Ledger] counts how often each call ran.
//
// [Client] speaks over any net.Conn, in whole messages or in pieces cut at any
// byte. Both ends can record all bytes they read and write, so that a test can
// show that nothing between them changed any.
//
//	network := &pyrotest.Network{}
//	daemon := pyrotest.StartDaemon(t, network, "192.0.2.10:9999", &pyrotest.Daemon{})
//	client := pyrotest.DialClient(t, network, "192.0.2.10:9999", pyrotest.Client{Dialect: wire.V502})
//	if _, err := client.Connect("some.object"); err != nil { … }
//	reply, err := client.Call([]byte("call-1\nany payload"))
//	daemon.Ledger.Times("call-1") // 1
//
// Every goroutine ends with Daemon.Close, which StartDaemon leaves to
// t.Cleanup; connections have none. Packages that test with this one should
// have goleak confirm it for themselves:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
//
// (A synctest bubble confirms it anyway: it fails while a goroutine is left.)
package pyrotest
