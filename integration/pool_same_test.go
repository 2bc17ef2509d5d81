package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// keptByConnections are the scenarios that mode call is not meant for, and why.
var keptByConnections = map[string]string{
	"instances_by_connection":      "instances of a session belong to a connection, which clients share in mode call",
	"tracked_resources":            "tracked resources are closed with a connection, which clients share in mode call",
	"security_error":               "the daemon closes the connection after its answer, and clients keep theirs to the dispatcher",
	"after_idling":                 "it tracks resources, which are closed with a connection that clients share in mode call",
	"idle_connection":              "COMMTIMEOUT ends the shared connections; clients keep theirs to the dispatcher",
	"idle_connection_with_retries": "COMMTIMEOUT ends the shared connections; clients keep theirs to the dispatcher",
}

// TestSameInModeCall is TestSameAsDirect with connections that clients share.
func TestSameInModeCall(t *testing.T) {
	for name, reason := range keptByConnections {
		t.Run("left out/"+name, func(t *testing.T) { t.Skip(reason) })
	}
	for _, lib := range []string{"pyro4", "pyro5"} {
		for _, servertype := range []string{"thread", "multiplex"} {
			name, server := lib+"/"+servertype, []string{"--servertype", servertype}
			t.Run(name+"/plain", func(t *testing.T) {
				t.Parallel()
				direct, shared := sharedWay(t, lib, server...)
				for i, s := range serializers[lib] {
					// What is in a call does not depend on the server type.
					if i > 0 && servertype == "multiplex" {
						continue
					}
					suite := "main"
					if s == "msgpack" {
						suite += ",big"
					}
					t.Run(s, func(t *testing.T) { compareShared(t, lib, direct, shared, "--suite", suite, "--serializer", s) })
				}
			})
			t.Run(name+"/waiting", func(t *testing.T) {
				t.Parallel()
				suites := map[string][]string{
					"slow":        server,
					"commtimeout": append(slices.Clone(server), "--commtimeout", "1.5"),
					"inline":      append(slices.Clone(server), "--inline-oneway"),
				}
				runs := map[string][2]*process{}
				for suite, flags := range suites {
					direct := startDaemon(t, lib, flags...)
					_, shared := sharedWay(t, lib, flags...)
					runs[suite] = [2]*process{
						startScenarios(t, lib, direct.location, "--suite", suite, "--skip", leftOut()),
						startScenarios(t, lib, shared, "--suite", suite, "--skip", leftOut()),
					}
				}
				for suite, run := range runs {
					t.Run(suite, func(t *testing.T) { sameOutcomes(t, outcomes(t, run[0]), outcomes(t, run[1])) })
				}
			})
			if lib == "pyro4" && servertype == "thread" {
				t.Run(name+"/hmac", func(t *testing.T) {
					t.Parallel()
					direct, shared := sharedWay(t, lib, append(server, "--hmac", "a key")...)
					compareShared(t, lib, direct, shared, "--hmac", "a key", "--suite", "main,hmac", "--serializer", "pickle")
				})
			}
		}
		t.Run(lib+"/compressed", func(t *testing.T) {
			t.Parallel()
			direct, shared := sharedWay(t, lib, "--compress")
			compareShared(t, lib, direct, shared, "--compress", "--serializer", "json")
		})
	}
}

// sharedWay is twoWays with a dispatcher in mode call.
func sharedWay(t *testing.T, lib string, flags ...string) (direct, shared string) {
	t.Helper()
	// The dispatcher keeps connections while the daemon is asked directly.
	d := startDaemon(t, lib, append(flags, "--threadpool-size", "200")...)
	return d.location, startFlags(t, d, "--mode", "call").location
}

// startFlags runs a dispatcher in front of one daemon, with more flags.
func startFlags(t *testing.T, d *daemon, flags ...string) *running {
	t.Helper()
	args := []string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--backend", d.backend()}
	return runDispatcher(t, dispatcher, append(args, flags...)...)
}

func compareShared(t *testing.T, lib, direct, shared string, flags ...string) {
	t.Helper()
	compare(t, lib, direct, shared, append(flags, "--skip", leftOut())...)
}

// leftOut names the scenarios that are not run, as client.py wants them.
func leftOut() string {
	return strings.Join(slices.Sorted(maps.Keys(keptByConnections)), ",")
}

// TestStreamAfterIdleTimeout closes the connection that a stream holds, because its client
// rests: the client goes on with the next item, at the daemon that has the stream.
func TestStreamAfterIdleTimeout(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			t.Parallel()
			d := startPool(t, lib, []string{"one", "two", "three"}, "mode: call", "stream_idle_timeout: 1s")
			r := startRemote(t, lib)
			var clients []*proxy
			for range 4 {
				clients = append(clients, openStream(t, r, d.location))
			}
			pinned := 0
			for _, e := range d.cluster(t).Endpoints {
				pinned += e.Pinned
			}
			if pinned == 0 {
				t.Error("no connection is held by a stream")
			}
			eventually(t, "no connection is held by a stream any more", func() bool {
				return !slices.ContainsFunc(d.cluster(t).Endpoints, func(e endpoint) bool { return e.Pinned > 0 })
			})
			goOn(t, clients)
		})
	}
}

// TestMaxPinned has more streams than connections may be held: all of them come to their ends.
func TestMaxPinned(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			t.Parallel()
			d := startPool(t, lib, []string{"one", "two"}, "mode: call", "max_connections: 3, max_pinned: 1")
			r := startRemote(t, lib)
			var clients []*proxy
			for range 8 {
				clients = append(clients, openStream(t, r, d.location))
			}
			// The connection past the limit is closed, which takes a moment.
			eventually(t, "each endpoint has one connection held by a stream at most", func() bool {
				return !slices.ContainsFunc(d.cluster(t).Endpoints, func(e endpoint) bool { return e.Pinned > 1 })
			})
			goOn(t, clients)
		})
	}
}

const streamItems = 5

// openStream opens a client with a stream and takes its first item.
func openStream(t *testing.T, r *remote, location string) *proxy {
	t.Helper()
	p := r.open(t, location, "lab.worker")
	p.do(t, "stream", map[string]any{"method": "count", "args": []any{streamItems}}).value(t)
	if got := p.do(t, "next", nil).value(t); got != 0.0 {
		t.Fatalf("a stream begins with %v", got)
	}
	return p
}

// goOn takes the other items of the clients' streams, by turns.
func goOn(t *testing.T, clients []*proxy) {
	t.Helper()
	for item := 1; item < streamItems; item++ {
		for i, p := range clients {
			if got := p.do(t, "next", nil).value(t); got != float64(item) {
				t.Fatalf("item %d of client %d is %v", item, i, got)
			}
		}
	}
	for _, p := range clients {
		if got := p.do(t, "next", nil).wait(t); got.Exception != "builtins.StopIteration" {
			t.Errorf("after the last item: %+v", got)
		}
	}
}

// startPool runs a daemon for each name and a dispatcher in front of them, with more for its
// route and for its cluster, both as YAML in flow style.
func startPool(t *testing.T, lib string, names []string, route, cluster string) *running {
	t.Helper()
	var static []string
	for _, name := range names {
		static = append(static, startDaemon(t, lib, "--name", name).backend())
	}
	return startRouted(t, static, route, cluster)
}

// startRouted runs a dispatcher in front of these addresses. An address that has no braces is
// quoted.
func startRouted(t *testing.T, static []string, route, cluster string) *running {
	t.Helper()
	var list []string
	for _, s := range static {
		if !strings.HasPrefix(s, "{") {
			s = fmt.Sprintf("%q", s)
		}
		list = append(list, s)
	}
	return startConfigured(t, fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
listeners: [{name: main, address: "127.0.0.1:0"}]
routes: [{name: night-shift, cluster: telescopes, %s}]
clusters: [{name: telescopes, static: [%s], %s}]
`, route, strings.Join(list, ", "), cluster))
}

// cluster and endpoint are what the admin API shows of them, as far as tests look at it.
type cluster struct {
	Name      string
	Paused    bool
	Waiting   int
	Endpoints []endpoint
}

type endpoint struct {
	Address, State, Dialect     string
	Weight, Pinned, Connections int
	InFlight                    int `json:"in_flight"`
}

// cluster asks for the only cluster there is.
func (d *running) cluster(t *testing.T) cluster {
	t.Helper()
	var all []cluster
	d.api(t, http.MethodGet, "", &all)
	if len(all) != 1 {
		t.Fatalf("the admin server shows %+v, want one cluster", all)
	}
	return all[0]
}

// api makes a request below /api/clusters that has to succeed.
func (d *running) api(t *testing.T, method, path string, into any) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+d.admin+"/api/clusters"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v: %s", method, path, response.Status, err, body)
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(into); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, body)
	}
}
