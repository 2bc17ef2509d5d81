// Package integration tests the built dispatcher with the real thing: CPython clients and
// daemons of Pyro4 and Pyro5, as installed from PyPI by venv.sh, and real Consul servers, from
// the PATH or built from consul/go.mod.
//
// Its rule is that nobody can tell the difference: the scenarios in py/ run once against a
// daemon directly and once through pyro-dispatch, and their results are compared. What cannot
// be seen that way (ledgers of many clients, deaths, drains, memory) has tests of its own.
// Some of Pyro's own examples are run as they are, from the source distributions, which pip
// fetches into the venv.
//
// It has no code to import, and it is not the place for what a unit test with an in-memory
// network can show.
//
// Two environment variables steer it: DISPATCH_TEST_VENV names a Python environment to use
// instead of .venv, DISPATCH_TEST_BINARY a dispatcher to test instead of building one.
package integration
