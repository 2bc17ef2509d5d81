package router_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// blobbing is the driver of one session in mode session whose client also makes calls
// that are delivered. It checks after every event that the client is told what it asked
// for, in that order, and that each call is delivered once, as it was sent.
type blobbing struct {
	testing.TB
	messages
	w       *world
	session *router.Session
	now     time.Duration
	kinds   map[string]*router.Deliver // by info

	sent    []byte // by the client, and not consumed yet
	arrived int    // how much of sent
	need    int
	paused  bool
	over    bool // the client's end has been delivered
	failed  bool // it cannot be told anything any more
	slow    bool // the client reads nothing: what it is told is not sent before reads
	unsent  bool
	settle  bool
	ticked  bool // the session has been told what time it is

	expiring bool
	closed   bool

	asked  []*question // in the order in which they were sent
	begun  int         // of asked, how many the session has let go on or answered
	told   []byte      // all that the client was sent
	heard  int         // of asked, up to which one it was answered
	seq    uint16
	wanted *router.Action

	lease  *backend.Lease
	port   router.Port
	daemon []pyrotest.Message // what it was sent and has not answered

	deliveries []*delivering
}

// question is a request of the client's.
type question struct {
	seq    uint16
	bytes  []byte
	oneway bool
	kind   string // the info of one that is delivered, "" for the others
	answer string // what the client's answer must have in it, once that is known
}

// delivering is a delivery whose legs the script ends.
type delivering struct {
	*router.Delivery
	asked    *question
	kind     *router.Deliver
	results  []string // of the legs: "" while they run
	decided  bool
	detached bool
}

// blobTime is how long a call about "timed" may take.
const blobTime = 3 * time.Second

// newBlobbing has a client say hello to a session of w.
func newBlobbing(tb testing.TB, w *world, d wire.Dialect) *blobbing {
	members := []backend.Member{at(1, "a"), at(2, "b"), at(3, "c")}
	topics := backend.NewCluster(backend.Config{Name: "topics", Members: members, Dialer: w.dialer, Metrics: w.set, Retries: -1})
	x := &blobbing{TB: tb, messages: messages{d}, w: w, now: start, kinds: map[string]*router.Deliver{}}
	routes := []*router.Route{w.route}
	for info, deliver := range map[string]router.Deliver{
		"one": {}, "all": {To: router.ToAll}, "quorum": {To: router.ToAll, Quorum: 2}, "nowait": {To: router.ToAll, Quorum: -1},
		"first": {To: router.ToFirst}, "timed": {To: router.ToAll},
		"unheard": {Unheard: true, Listeners: nobodyListens(true)},
		"nobody":  {Listeners: nobodyListens(true)},
		"unknown": {Unheard: true, Listeners: nobodyListens(false)},
	} {
		r := &router.Route{
			Name: info, Calls: w.set.Calls("blobs", "topics"), Mode: router.ModeCall, Timeouts: clusters, Cluster: topics, Deliver: deliver,
			Call:   &router.CallMatch{Fields: []router.FieldMatch{{Globs: globs(tb, info)}}},
			Policy: router.Policy{Preserve: true, TimeoutError: router.BuiltinTimeout},
		}
		if info == "timed" {
			r.Timeouts.Call = blobTime
		}
		routes = append(routes, r)
		x.kinds[info] = &r.Deliver
	}
	table := router.NewTable(routes)
	w.env.Table = func() *router.Table { return table }
	w.env.Limits.Delivery = 2048
	x.session = router.New(&w.env, netip.MustParseAddr("198.51.100.7"), nobody{}, x.now)
	x.sent, x.arrived = x.connect(), len(x.connect())
	x.show()
	x.dial()
	x.daemonSays(x.ok())
	if x.session.State() != router.Idle {
		tb.Fatalf("%s after the handshake", x.session.State())
	}
	return x
}

// nobodyListens has no listeners of any topic.
func nobodyListens(known bool) func(blob.Scalar) ([]backend.Place, bool) {
	return func(blob.Scalar) ([]backend.Place, bool) { return nil, known }
}

// ask has the client send a request.
func (x *blobbing) ask(kind string, oneway bool) {
	x.seq++
	q := &question{seq: x.seq, oneway: oneway, kind: kind}
	m := x.message(wire.Invoke, 25)
	switch kind {
	case "":
		q.answer = fmt.Sprint("plain ", x.seq)
	case "ping":
		m, q.kind, q.answer = x.message(wire.Ping, 4), "", "pong"
	default:
		m = x.message(wire.Invoke, 25, wire.KeepSerialized)
		m.Chunks = []wire.Chunk{{ID: wire.ChunkBlob, Value: about(kind)}}
	}
	switch kind {
	case "unheard":
		q.answer = "None"
	case "nobody":
		q.answer = router.ErrNoListener.Error()
	case "unknown":
		q.answer = router.ErrNotKnown.Error()
	}
	if oneway {
		m.Head.Flags |= x.d.Bit(wire.Oneway)
	}
	m.Head.Seq = x.seq
	q.bytes = m.Bytes()
	x.asked = append(x.asked, q)
	x.sent = append(x.sent, q.bytes...)
}

// show shows the session what has arrived.
func (x *blobbing) show() {
	for !x.closed && !x.paused && x.arrived > 0 && x.arrived >= x.need {
		b := slices.Clone(x.sent[:x.arrived])
		taken := x.session.Data(x.now, router.Client, b)
		x.need, x.paused = taken.Need, taken.Paused
		switch request := b[:taken.Forward]; {
		case taken.Delivery != nil:
			x.starts(taken.Delivery, request)
		case taken.Forward > 0:
			x.reaches(taken.To, request)
			x.session.Sent(x.now, taken.To)
		}
		x.sent, x.arrived = x.sent[taken.Consumed:], x.arrived-taken.Consumed
		for i := range b {
			b[i] = 0xee // nobody keeps it
		}
		if taken.Need > 0 && !x.paused {
			x.session.Reading(x.now)
		}
		x.perform()
		if taken.Consumed == 0 && !taken.Again {
			return
		}
	}
}

// next is the question that a request the session lets go on must be.
func (x *blobbing) next(request []byte) *question {
	x.Helper()
	for ; x.begun < len(x.asked); x.begun++ {
		q := x.asked[x.begun]
		if q.kind == "unheard" || q.kind == "nobody" || q.kind == "unknown" {
			continue // answered by the session itself
		}
		if !bytes.Equal(q.bytes, request) {
			x.Fatalf("goes on with %q, not with question %d", request, x.begun)
		}
		x.begun++
		return q
	}
	x.Fatalf("goes on with %q, which nobody sent", request)
	return nil
}

// reaches: the daemon gets bytes.
func (x *blobbing) reaches(p router.Port, b []byte) {
	x.Helper()
	if x.lease == nil || p != x.port {
		x.Fatalf("bytes for port %d, which is not open", p)
	}
	for r := bytes.NewReader(b); r.Len() > 0; {
		m, err := pyrotest.ReadMessage(r)
		if err != nil {
			x.Fatalf("the daemon is sent a part of a message: %v", err)
		}
		if m.Head.Type != wire.Connect {
			if q := x.next(m.Bytes()); q.kind != "" {
				x.Fatalf("the daemon is sent a call about %s", q.kind)
			}
		}
		if !m.Head.Has(wire.Oneway) && m.Head.Type != wire.Connect {
			x.daemon = append(x.daemon, m)
		}
	}
}

// starts begins a delivery.
func (x *blobbing) starts(d *router.Delivery, request []byte) {
	x.Helper()
	q := x.next(request)
	if q.kind == "" {
		x.Fatalf("delivers a call that has no blob")
	}
	for _, o := range x.deliveries {
		if !o.decided && !o.asked.oneway {
			x.Fatalf("delivers question %d before %d is answered", q.seq, o.asked.seq)
		}
	}
	n := 3
	if q.kind == "one" {
		n = 1
	}
	if len(d.Legs) != n || d.Oneway() != q.oneway {
		x.Fatalf("%d legs about %s; oneway: %v", len(d.Legs), q.kind, d.Oneway())
	}
	f := &delivering{Delivery: d, asked: q, kind: x.kinds[q.kind], results: make([]string, n)}
	x.deliveries = append(x.deliveries, f)
	if due := d.Due; q.kind == "timed" && !q.oneway && due != x.now+blobTime || q.kind != "timed" && due != 0 {
		x.Fatalf("question %d about %s is due %v from now", q.seq, q.kind, due-x.now)
	}
	if f.kind.Quorum < 0 && !q.oneway {
		f.decided, q.answer = true, "None"
	}
	x.session.Handed(x.now, d)
}

// ends ends a leg of f: with a good result, an exception of the target's, or an error.
func (x *blobbing) ends(f *delivering, i int, r router.LegResult, result string) {
	x.Helper()
	f.results[i] = result
	if r.Err == nil {
		reply := x.message(wire.Result, 0)
		reply.Data = []byte(result)
		reply.Head.Seq = f.Seq()
		if strings.HasPrefix(result, "raised") {
			reply.Head.Flags |= x.d.Bit(wire.Exception)
		}
		r.Reply = reply.Bytes()
		r.Head, _ = wire.ParseHead(r.Reply)
	}
	dropped := f.detached && !f.decided || x.session.State() == router.Closed // with its client
	answer, decides := f.expected()
	decides = decides && !f.decided && !dropped && !f.asked.oneway
	if got := f.Legs[i].End(x.now, r); got != decides {
		x.Fatalf("leg %d of %v about %s decides: %v", i, f.results, f.asked.kind, got)
	}
	if decides {
		f.decided, f.asked.answer = true, answer
		x.session.Delivered(x.now, f.Delivery)
	}
	x.perform()
}

// expected is the specification: what the client is told, if that is clear by now.
func (f *delivering) expected() (answer string, clear bool) {
	good, running := 0, 0
	for _, r := range f.results {
		switch {
		case r == "":
			running++
		case strings.HasPrefix(r, "good"):
			good++
		}
	}
	first := func(prefix string, want bool) string {
		i := slices.IndexFunc(f.results, func(r string) bool { return r != "" && strings.HasPrefix(r, prefix) == want })
		if i < 0 {
			return "None"
		}
		return f.results[i]
	}
	switch quorum := f.kind.Quorum; {
	case f.kind.To == router.ToFirst && good > 0:
		return first("good", true), true
	case f.kind.To == router.ToFirst, f.kind.To == router.ToOne:
		return first("", true), running == 0
	case quorum > 0 && good >= quorum:
		return "None", true
	case quorum > 0 && good+running < quorum:
		return first("good", false), true
	}
	return first("good", false), running == 0
}
