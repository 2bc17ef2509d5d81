package router_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// perform carries out what the session asks for.
func (x *blobbing) perform() {
	x.Helper()
	resumed := false
	for actions := x.session.Actions(); len(actions) > 0; actions = x.session.Actions() {
		for _, a := range actions {
			switch a.Op {
			case router.Acquire:
				x.wanted = &a
			case router.Cancel:
				x.wanted = nil
			case router.Send:
				x.sends(a)
			case router.Resume:
				x.paused, resumed = false, true
			case router.Settle:
				x.settle = true
			case router.Release:
				a.Lease.Done(a.Outcome)
				x.lease, x.daemon = nil, nil
			case router.Expire:
				x.expires(x.delivery(a.Delivery))
			case router.Detach:
				f := x.delivery(a.Delivery)
				if f.detached {
					x.Fatalf("detached from question %d once more", f.asked.seq)
				}
				f.detached = true
			case router.Close:
				x.closed = true
			}
		}
	}
	if deadline := x.session.Deadline(); x.session.State() == router.Lingering && deadline == 0 && !x.closed {
		x.Fatal("lingers for ever")
	}
	if !x.expiring {
		x.check()
	}
	if resumed && !x.closed {
		x.show()
	}
}

// check holds whenever all that was asked for has been done.
func (x *blobbing) check() {
	x.Helper()
	ended := x.session.State() == router.Lingering || x.closed
	for _, f := range x.deliveries {
		waits := !f.decided && !f.asked.oneway
		switch running := slices.Contains(f.results, ""); {
		case running && f.decided && !f.detached:
			x.Fatalf("question %d is answered, and its legs go on as if somebody waited", f.asked.seq)
		case waits && !ended && f.Due != 0 && x.now >= f.Due && x.ticked:
			x.Fatalf("question %d is not answered in time", f.asked.seq)
		case waits && ended && !f.detached:
			x.Fatalf("question %d: the session has ended, and its legs are not told", f.asked.seq)
		}
	}
}

// expires: the legs of f have taken too long.
func (x *blobbing) expires(f *delivering) {
	x.expiring = true
	for i, r := range f.results {
		if r == "" {
			x.ends(f, i, router.LegResult{Err: router.ErrTimeout, Outcome: metrics.TimedOut}, router.ErrTimeout.Error())
		}
	}
	x.expiring = false
}

func (x *blobbing) delivery(d *router.Delivery) *delivering {
	x.Helper()
	i := slices.IndexFunc(x.deliveries, func(f *delivering) bool { return f.Delivery == d })
	if i < 0 {
		x.Fatal("a delivery that never began")
	}
	return x.deliveries[i]
}

func (x *blobbing) sends(a router.Action) {
	x.Helper()
	if a.Port != router.Client {
		x.reaches(a.Port, a.Bytes)
		return
	}
	if !x.failed {
		x.hears(a.Bytes)
	}
	if x.unsent {
		x.Fatal("tells the client more than it takes")
	}
	if x.unsent = x.slow; !x.slow {
		x.session.Sent(x.now, router.Client)
	}
}

// hears: the client is sent an answer to the next of its questions that wants one.
func (x *blobbing) hears(b []byte) {
	x.Helper()
	x.told = append(x.told, b...)
	m, err := pyrotest.ReadMessage(bytes.NewReader(b))
	if err != nil {
		x.Fatal(err)
	}
	if m.Head.Type == wire.ConnectOK {
		return
	}
	for x.heard < len(x.asked) && x.asked[x.heard].oneway {
		x.heard++
	}
	if x.heard == len(x.asked) {
		x.Fatalf("the client is sent %q, and has asked nothing", m.Data)
	}
	q := x.asked[x.heard]
	x.heard++
	if m.Head.Seq != q.seq || q.answer == "" || !bytes.Contains(m.Data, []byte(q.answer)) {
		x.Fatalf("question %d is answered %q with number %d; want %q", q.seq, m.Data, m.Head.Seq, q.answer)
	}
}

// dial answers the Acquire.
func (x *blobbing) dial() {
	a := x.wanted
	if a == nil {
		return
	}
	x.wanted = nil
	lease, err := x.w.cluster.Acquire(context.Background(), a.Attempt)
	if err != nil {
		x.session.Unreachable(x.now, a.Port, err)
	} else {
		x.lease, x.port = lease, a.Port
		x.session.Granted(x.now, a.Port, lease, answerTime)
	}
	x.perform()
}

// daemonSays: the daemon sends b, one message.
func (x *blobbing) daemonSays(b []byte) {
	x.Helper()
	taken := x.session.Data(x.now, x.port, b)
	if taken.Consumed != len(b) {
		x.Fatalf("%d of the daemon's %d bytes are taken", taken.Consumed, len(b))
	}
	if taken.Forward > 0 {
		if !x.failed {
			x.hears(b[:taken.Forward])
		}
		x.session.Sent(x.now, taken.To)
	}
	x.perform()
	x.show()
}

// daemonReplies: the daemon answers the next of its requests.
func (x *blobbing) daemonReplies() {
	if len(x.daemon) == 0 || x.lease == nil || x.unsent {
		return
	}
	m := x.daemon[0]
	x.daemon = x.daemon[1:]
	reply := x.message(wire.Result, 0)
	reply.Data = fmt.Append(nil, "plain ", m.Head.Seq)
	if m.Head.Type == wire.Ping {
		reply = x.message(wire.Ping, 0)
		reply.Data = []byte("pong")
	}
	reply.Head.Seq = m.Head.Seq
	x.daemonSays(reply.Bytes())
}
