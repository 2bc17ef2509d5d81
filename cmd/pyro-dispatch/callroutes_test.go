package main

import (
	"math/big"
	"testing"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

const callRoutes = `
listeners: [{name: x, address: ":0"}]
routes:
  - {name: numbers, match: {blob: {info: [7, 1.5, 36893488147419103232]}}, cluster: c}
  - {name: globs, match: {blob: {info: "customer-*", method: "get*", object: shop}}, cluster: c, delivery: all, wait: quorum 2, no_listener: none}
  - {name: tagged, match: {annotation: {TENT: ["acme", "b*"]}}, cluster: c, delivery: one}
  - {name: first, match: {blob: {object: "f?"}}, cluster: c, delivery: first, rewrite: {object: "listener.{info}", method: "on_{method}"}}
  - {name: unwaited, match: {blob: {method: "[*]"}}, cluster: c, delivery: all, wait: none}
  - {name: answer, match: {object: nobody}, answer: {methods: [process_blob, notify], oneway: [notify]}}
  - {name: rest, cluster: c}
clusters:
  - {name: c, static: ["127.0.0.1:1"], handshake: secret}
`

// TestCallRoutes: calls find the routes that the configuration means for them.
func TestCallRoutes(t *testing.T) {
	f, err := newFleet(loaded(t, callRoutes), metrics.New(metrics.Build{}), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	big2to65, _ := new(big.Int).SetString("36893488147419103232", 10)
	half, _ := blob.FloatScalar(1.5)
	tests := []struct {
		name           string
		info           blob.Scalar
		object, method string
		tenant         string
		want           string // "" is that of its client
	}{
		{"a number", blob.IntScalar(7), "o", "m", "", "numbers"},
		{"a fraction", half, "o", "m", "", "numbers"},
		{"a large one", blob.BigScalar(big2to65), "o", "m", "", "numbers"},
		{"another number", blob.IntScalar(8), "o", "m", "", ""},
		{"the number as text", blob.TextScalar("7"), "o", "m", "", ""},
		{"all three", blob.TextScalar("customer-1"), "shop", "get_it", "", "globs"},
		{"two of three", blob.TextScalar("customer-1"), "shop", "put", "", ""},
		{"an annotation", blob.TextScalar("x"), "o", "m", "acme", "tagged"},
		{"its beginning", blob.TextScalar("x"), "o", "m", "bcme", "tagged"},
		{"another value", blob.TextScalar("x"), "o", "m", "cacme", ""},
		{"the object", blob.TextScalar("x"), "f1", "m", "", "first"},
		{"an asterisk itself", blob.TextScalar("x"), "o", "*", "", "unwaited"},
	}
	for _, tt := range tests {
		h := wire.Head{Dialect: wire.V502, Type: wire.Invoke}
		chunks := wire.AppendChunk(nil, wire.V502, wire.Chunk{ID: wire.ChunkBlob, Value: blob.AppendNew(nil, tt.info, tt.object, tt.method)})
		chunks = wire.AppendChunk(chunks, wire.V502, wire.Chunk{ID: [4]byte([]byte("TENT")), Value: []byte(tt.tenant)})
		r, err := f.table.Load().FindCall(&router.Request{Listener: "x"}, &h, chunks, blob.AppendNew(nil, tt.info, tt.object, tt.method))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if r != nil {
			got = r.Name
		}
		if got != tt.want {
			t.Errorf("%s: route %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestDeliverOf: what becomes of a call is what its route says.
func TestDeliverOf(t *testing.T) {
	f, err := newFleet(loaded(t, callRoutes), metrics.New(metrics.Build{}), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	byName := make(map[string]*router.Route)
	for _, r := range f.configured {
		byName[r.Name] = r
	}
	for name, want := range map[string]router.Deliver{
		"numbers":  {To: router.ToOne},
		"globs":    {To: router.ToAll, Quorum: 2, Unheard: true},
		"first":    {To: router.ToFirst},
		"unwaited": {To: router.ToAll, Quorum: -1},
	} {
		got := byName[name].Deliver
		if got.To != want.To || got.Quorum != want.Quorum || got.Unheard != want.Unheard || got.Handshake != "secret" {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		if byName[name].Mode != router.ModeCall {
			t.Errorf("%s: mode %s", name, byName[name].Mode)
		}
	}
	call, err := blob.Parse(blob.AppendNew(nil, blob.TextScalar("t"), "f1", "heard"))
	if err != nil {
		t.Fatal(err)
	}
	first := byName["first"].Deliver
	object, ok := first.Object.Append(nil, call)
	method, also := first.Method.Append(nil, call)
	if !ok || !also || string(object) != "listener.t" || string(method) != "on_heard" {
		t.Errorf("rewritten to %q.%q", object, method)
	}
	answer := byName["answer"]
	if a := answer.Answer; a == nil || len(a.Methods) != 2 || len(a.Oneway) != 1 || answer.Cluster != nil || answer.Call != nil {
		t.Errorf("answered by %+v", answer)
	}
}
