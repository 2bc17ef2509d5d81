package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/store/storetest"
	"github.com/pyro-dispatch/pyro-dispatch/topics"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// blobAbout is a call of process_blob about info.
func blobAbout(object, info string) pyrotest.Message {
	m := pyrotest.Message{Head: wire.Head{
		Dialect: wire.V502, Type: wire.Invoke, SerializerID: wire.V502.SerializerID(wire.Serpent), Seq: 7,
		Flags: wire.V502.Bit(wire.KeepSerialized),
	}, Data: []byte("a payload")}
	m.Chunks = []wire.Chunk{{ID: wire.ChunkBlob, Value: blob.AppendNew(nil, blob.TextScalar(info), object, "process_blob")}}
	return m
}

// TestTopicsStoreAwayAtFirst: a dispatcher that is started while Consul is away loses no
// blob: they fail until it is known who listens, on a connection that stays. What is known
// stays when Consul goes again.
func TestTopicsStoreAwayAtFirst(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var daemon pyrotest.Daemon
	daemon.Start(ln)
	t.Cleanup(daemon.Close)
	consul := storetest.NewConsul()
	earlier := topics.New(topics.Config{Store: store.NewConsul(consul.KV(t), "pyro-dispatch/topics", nil)})
	own := netip.MustParseAddrPort("127.0.0.1:1")
	if _, err := earlier.Call(t.Context(), control.Caller{Local: own, Remote: own, Dialect: wire.V502}, "register",
		[]values.Value{"a", "PYRO:listener@" + ln.Addr().String()}, nil); err != nil {
		t.Fatal(err)
	}
	away := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "No cluster leader", 500) }
	consul.Answer(away)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := consul.RoundTrip(r)
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	t.Cleanup(server.Close)

	r := startPublic(t, fmt.Sprintf("listeners: [{name: main, address: '127.0.0.1:0'}]\nconsul: {address: %q}\ntopics: lab.topics\n", server.URL))
	c, err := connect(t, portOf(r.opened[0]), "lab.topics")
	if err != nil {
		t.Fatal(err)
	}
	ask := func() pyrotest.Message {
		t.Helper()
		m, err := c.Do(blobAbout("lab.topics", "a"))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	fails := func(m pyrotest.Message) bool { return m.Head.Has(wire.Exception) }
	for range 3 {
		if m := ask(); !fails(m) || !bytes.Contains(m.Data, []byte("CommunicationError")) || !bytes.Contains(m.Data, []byte("who listens is not known yet")) {
			t.Fatalf("answered %+v %q", m.Head, m.Data)
		}
	}
	wantGathered(t, r.set, map[[3]string]float64{
		{"calls_total", topicsCluster, metrics.NoEndpoint.String()}: 3, {"topics_known"}: 0, {"topic_listeners"}: 0,
	})
	consul.Answer(nil)
	pyrotest.WaitFor(t, "the store has been read", func() bool { return !fails(ask()) })
	consul.Answer(away)
	if m := ask(); fails(m) {
		t.Errorf("answered %+v %q", m.Head, m.Data)
	}
	wantGathered(t, r.set, map[[3]string]float64{{"topics_known"}: 1, {"topic_listeners"}: 1})
	c.Close()
	r.stop()
}
