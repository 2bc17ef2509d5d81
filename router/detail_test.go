package router_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// open gives a session whose handshake is over.
func open(t testing.TB, d wire.Dialect) *harness {
	h := newHarness(t, newWorld(1))
	h.says(messages{d}.connect())
	h.connects()
	h.answers(messages{d}.ok())
	h.taken()
	if h.session.State() != router.Idle {
		t.Fatalf("%s after the handshake", h.session.State())
	}
	return h
}

// TestNeed: the exact number of bytes worth waiting for.
func TestNeed(t *testing.T) {
	for _, d := range dialects {
		m := messages{d}
		head := d.HeadLen()
		streamed := m.message(wire.Invoke, 1000)
		streamed.Chunks = []wire.Chunk{{ID: [4]byte{'T', 'E', 'S', 'T'}, Value: make([]byte, 200)}}
		large := streamed.Bytes()
		headers := len(large) - 1000

		early := func(h *harness) router.Port { return router.Client }
		tests := []struct {
			name    string
			message []byte
			session func() (*harness, router.Port)
			needs   map[int]int // by the number of bytes shown
		}{
			{"CONNECT", m.connect(), func() (*harness, router.Port) { h := newHarness(t, newWorld(1)); return h, early(h) },
				map[int]int{1: 6, 5: 6, 6: head, head - 1: head, head: len(m.connect()), len(m.connect()) - 1: len(m.connect())}},
			{"small request", m.invoke(), func() (*harness, router.Port) { return open(t, d), router.Client },
				map[int]int{1: 6, 6: head, head: len(m.invoke()), len(m.invoke()): 0}},
			{"large request", large, func() (*harness, router.Port) { return open(t, d), router.Client },
				map[int]int{5: 6, 6: head, head: headers, headers - 1: headers, headers: 0}},
			{"reply", m.result(), func() (*harness, router.Port) {
				h := open(t, d)
				h.says(m.invoke())
				return h, h.leg
			}, map[int]int{1: 6, 5: 6, 6: head, head - 1: head, head: 0}},
		}
		for _, test := range tests {
			for shown, want := range test.needs {
				h, p := test.session()
				taken := h.session.Data(h.now, p, test.message[:shown])
				if taken.Need != want {
					t.Errorf("%s, %s: needs %d after %d bytes, want %d", d, test.name, taken.Need, shown, want)
				}
			}
		}
	}
}

// TestTaken: where bytes go, and what may follow them unseen.
func TestTaken(t *testing.T) {
	for _, d := range dialects {
		m := messages{d}
		big, result := m.big(), m.result()
		h := open(t, d)
		check := func(p router.Port, b []byte, want router.Taken) {
			t.Helper()
			if diff := cmp.Diff(want, h.session.Data(h.now, p, b)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", d, diff)
			}
		}
		leg := h.leg
		check(router.Client, m.oneway(), router.Taken{To: leg, Forward: len(m.oneway()), Consumed: len(m.oneway())})
		check(router.Client, m.invoke(), router.Taken{To: leg, Forward: len(m.invoke()), Consumed: len(m.invoke()), ReplyDue: true})
		check(leg, result[:50], router.Taken{To: router.Client, Forward: 50, Consumed: 50, Body: int64(len(result) - 50), ReplyDue: true})
		check(leg, result[50:], router.Taken{To: router.Client, Forward: len(result) - 50, Consumed: len(result) - 50})
		check(router.Client, big[:100], router.Taken{To: leg, Forward: 100, Consumed: 100, Body: int64(len(big) - 100), ReplyDue: true})
		h.session.Moved(h.now, router.Client, 200)
		check(router.Client, big[300:], router.Taken{To: leg, Forward: len(big) - 300, Consumed: len(big) - 300, ReplyDue: true})
		check(router.Client, nil, router.Taken{To: leg, ReplyDue: true})
	}
}

// TestFailedCall: what the log says of a call that got no reply.
func TestFailedCall(t *testing.T) {
	for _, d := range dialects {
		m := messages{d}
		h := open(t, d)
		id := [16]byte{1, 2, 3}
		h.says(m.message(wire.Invoke, 5).WithCorrelation(id).Bytes())
		h.waits(3 * time.Second)
		h.says(m.ping())
		h.waits(time.Second)
		h.says(m.big()[:100])
		h.waits(time.Second)
		h.hangsUp(h.leg)
		want := []router.FailedCall{
			{Type: wire.Invoke, Outcome: metrics.BackendClosed, Correlation: id, HasCorrelation: true, Elapsed: 5 * time.Second},
			{Type: wire.Ping, Outcome: metrics.BackendClosed, Elapsed: 2 * time.Second},
			{Type: wire.Invoke, Outcome: metrics.BackendClosed}, // never complete
		}
		if diff := cmp.Diff(want, h.failed); diff != "" {
			t.Errorf("%s (-want +got):\n%s", d, diff)
		}
		h.finish()
	}
}

// TestSummary: what the log says of a session.
func TestSummary(t *testing.T) {
	for _, d := range dialects {
		m := messages{d}
		h := open(t, d)
		h.says(bytes.Join([][]byte{m.invoke(), m.oneway()}, nil))
		h.waits(time.Second)
		h.answers(m.result())
		h.hangsUp(router.Client)
		want := router.Summary{
			Reason: router.ReasonClientClosed, Object: "lab.camera", Serializer: wire.Serpent, Correlation: testID,
			Endpoint: endpoint(1).Addr, Calls: 2,
			RequestBytes: int64(len(m.invoke()) + len(m.oneway())),
			ReplyBytes:   int64(len(m.ok()) + len(m.result())),
		}
		if diff := cmp.Diff(want, h.session.Summary()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", d, diff)
		}
		if got := h.w.counts(t, "call_duration_seconds", "route")["route"]; got != 1 {
			t.Errorf("%s: %v durations observed, want that of the call", d, got)
		}
		h.finish()
	}
}

// TestDuration: a call lasts from its request's last byte to its reply's.
func TestDuration(t *testing.T) {
	h := open(t, wire.V502)
	m := messages{wire.V502}
	big, result := m.big(), m.result()
	h.says(big[:100])
	h.waits(time.Minute)
	h.says(big[100:])
	h.waits(time.Second)
	h.answers(result[:50])
	h.waits(time.Second)
	h.answers(result[50:])
	families, err := h.w.set.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "pyro_dispatch_call_duration_seconds" {
			if sum := f.GetMetric()[0].GetHistogram().GetSampleSum(); sum != 2 {
				t.Errorf("lasted %v s, want 2", sum)
			}
			return
		}
	}
	t.Error("no durations")
}

// TestRefusedByDaemon: a CONNECTFAIL that is passed on is counted as such.
func TestRefusedByDaemon(t *testing.T) {
	m := messages{wire.V48}
	h := newHarness(t, newWorld(1))
	h.says(m.connect())
	h.connects()
	h.answers(m.fail())
	if got := h.lines[router.Client].got.bytes; !bytes.Equal(got, m.fail()) {
		t.Errorf("the client read %q", got)
	}
	if got := h.w.counts(t, "connects_refused_total", "route")["route"]; got != 1 {
		t.Errorf("%v refusals counted", got)
	}
	h.finish()
}

// TestInFlight: the gauge follows every call.
func TestInFlight(t *testing.T) {
	m := messages{wire.V502}
	h := open(t, wire.V502)
	for _, step := range []struct {
		event event
		want  float64
	}{
		{says(m.oneway()), 0},
		{says(m.invoke(), m.ping()), 2},
		{says(m.big()[:100]), 3},
		{answers(m.result()), 2},
		{answers(m.ping()), 1},
		{answers(m.raised()), 0},
		{says(m.big()[100:]), 0},
		{says(m.invoke()), 1},
		{legReset, 0},
	} {
		step.event(h)
		if got := h.w.counts(t, "calls_in_flight", "route")["route"]; got != step.want {
			t.Errorf("%v calls in flight, want %v (%s)", got, step.want, h.taken())
		}
	}
	h.finish()
}

// TestOtherDialectIsLearnt: after one client's failed attempt, no other client
// of its dialect is sent there.
func TestOtherDialectIsLearnt(t *testing.T) {
	w := newWorld(1)
	m, o := messages{wire.V48}, messages{wire.V502}
	h := newHarness(t, w)
	h.says(m.connect())
	h.connects()
	h.answers(o.ok())
	h.taken()
	h.connects()
	if got := h.taken(); got != refusal {
		t.Fatalf("asks %q, want %q", got, refusal)
	}
	again := newHarness(t, w)
	again.says(m.connect())
	again.taken()
	again.connects()
	if got := again.taken(); got != refusal {
		t.Errorf("the second client: %q, want %q", got, refusal)
	}
	fits := newHarness(t, w)
	fits.says(o.connect())
	fits.taken()
	fits.connects()
	if got := fits.taken(); got != "to leg 1: CONNECT" {
		t.Errorf("a client of the endpoint's dialect: %q", got)
	}
	for _, h := range []*harness{h, again, fits} {
		h.aborts()
	}
}

// TestAnsweredLease: with the first bytes of its answer an endpoint has shown
// its dialect, and what goes wrong later is no failure to connect.
func TestAnsweredLease(t *testing.T) {
	for _, d := range dialects {
		w := newWorld(1)
		m := messages{d}
		h := newHarness(t, w)
		h.says(m.connect())
		h.connects()
		h.answers(m.ok())
		h.says(m.invoke())
		h.hangsUp(h.leg)
		h.finish()
		if got := w.counts(t, "connect_failures_total", "reason"); len(got) != 0 {
			t.Errorf("%s: failures to connect: %v", d, got)
		}
		stranger := newHarness(t, w)
		stranger.says(messages{other(d)}.connect())
		stranger.taken()
		stranger.connects()
		if got := stranger.taken(); got != refusal {
			t.Errorf("%s: a client of the other dialect: %q", d, got)
		}
		stranger.finish()
	}
}

// TestConnectFailures: what goes wrong before is one, by its reason.
func TestConnectFailures(t *testing.T) {
	m := messages{wire.V502}
	for reason, gives := range map[string]event{
		"closed": legEOF, "garbled": answers(m.garbage()), "unanswered": waits(answerTime),
		"other_dialect": answers(messages{wire.V48}.ok()),
	} {
		h := newHarness(t, newWorld(1))
		h.says(m.connect())
		h.connects()
		gives(h)
		if diff := cmp.Diff(map[string]float64{reason: 1}, h.w.counts(t, "connect_failures_total", "reason")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		h.finish()
	}
}
