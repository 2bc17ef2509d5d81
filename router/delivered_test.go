package router_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestDeliveryAnswer: when it is decided what the client is told, and what it is.
func TestDeliveryAnswer(t *testing.T) {
	const good, raised, lost = 'g', 'r', 'l'
	tests := []struct {
		name    string
		to      router.To
		quorum  int
		order   []int  // in which the legs end
		results string // of the legs, in their order
		after   int    // how many have ended when it is decided
		want    string
	}{
		{"all are good", router.ToAll, 0, []int{1, 0, 2}, "ggg", 3, "None"},
		{"the first in order has failed", router.ToAll, 0, []int{2, 1, 0}, "grl", 3, "raised 1"},
		{"the other way round", router.ToAll, 0, []int{0, 1, 2}, "lrg", 3, "lost"},
		{"enough", router.ToAll, 2, []int{2, 1, 0}, "ggg", 2, "None"},
		{"enough in spite of one", router.ToAll, 2, []int{0, 1, 2}, "rgg", 3, "None"},
		{"too few", router.ToAll, 2, []int{2, 1, 0}, "grr", 2, "raised 1"},
		{"the first good one", router.ToFirst, 0, []int{1, 2, 0}, "rgg", 1, "good 1"},
		{"behind a bad one", router.ToFirst, 0, []int{0, 2, 1}, "lgg", 2, "good 2"},
		{"none is good", router.ToFirst, 0, []int{2, 1, 0}, "rrl", 3, "raised 0"},
	}
	for _, d := range dialects {
		for _, tt := range tests {
			t.Run(fmt.Sprint(d, " ", tt.name), func(t *testing.T) {
				x := newDispatch(t, d, []backend.Member{at(1, "a"), at(2, "b"), at(3, "c")}, func(r *router.Route) {
					r.Deliver.To, r.Deliver.Quorum = tt.to, tt.quorum
				})
				rd := x.gives(x.blob(about("topic")).Bytes())
				x.session.Handed(start, rd)
				for n, i := range tt.order {
					r := router.LegResult{Outcome: metrics.Replied}
					reply := x.message(wire.Result, 0)
					switch tt.results[i] {
					case good:
						reply.Data = fmt.Append(nil, "good ", i)
					case raised:
						reply.Data = fmt.Append(nil, "raised ", i)
						reply.Head.Flags |= d.Bit(wire.Exception)
					case lost:
						r.Err = router.ErrLost
					}
					if r.Err == nil {
						r.Reply = reply.Bytes()
						r.Head, _ = wire.ParseHead(r.Reply)
					}
					decides := rd.Legs[i].End(start, r)
					if decides != (n+1 == tt.after) {
						t.Errorf("decided by leg %d, the %d. to end: %v", i, n+1, decides)
					}
					if !decides {
						continue
					}
					x.session.Delivered(start, rd)
					if m := x.told(); !bytes.Contains(m.Data, []byte(tt.want)) || m.Head.Seq != 7 {
						t.Errorf("told %+v %q", m.Head, m.Data)
					}
				}
				if x.session.State() != router.Idle {
					t.Errorf("%s afterwards", x.session.State())
				}
			})
		}
	}
}

// TestPipelinedBehindDelivery: what a client sends behind a call that is being delivered
// waits for its answer.
func TestPipelinedBehindDelivery(t *testing.T) {
	for _, d := range dialects {
		for _, next := range []func(x *dispatch) []byte{
			func(x *dispatch) []byte { return x.ping() },
			func(x *dispatch) []byte { return x.invoke() },
			func(x *dispatch) []byte { return x.blob(about("topic")).Bytes() },
		} {
			x := newDispatch(t, d, []backend.Member{at(1, "a")}, func(*router.Route) {})
			rd := x.gives(x.blob(about("topic")).Bytes())
			behind := next(x)
			if taken := x.session.Data(start, router.Client, behind); !taken.Paused || taken.Delivery != nil || taken.Consumed != 0 {
				t.Errorf("%v: taken %+v", d, taken)
			}
			if x.session.State() != router.Waiting || x.session.Deadline() != 0 {
				t.Errorf("%v: %s, due %v", d, x.session.State(), x.session.Deadline())
			}
			if !rd.Legs[0].End(start, router.LegResult{Err: errors.New("x"), Outcome: metrics.NoEndpoint}) {
				t.Errorf("%v: not decided", d)
			}
			x.session.Delivered(start, rd)
			if m := x.told(); !m.Head.Has(wire.Exception) {
				t.Errorf("%v: told %+v", d, m.Head)
			}
			resumes := func(a router.Action) bool { return a.Op == router.Resume }
			if !slices.ContainsFunc(x.session.Actions(), resumes) {
				t.Errorf("%v: what waits is not shown again", d)
			}
			if taken := x.session.Data(start, router.Client, behind); taken.Paused || taken.Consumed != len(behind) {
				t.Errorf("%v: taken %+v", d, taken)
			}
			x.session.Abort(start)
			x.session.Gone()
		}
	}
}
