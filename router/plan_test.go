package router_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestPlan: who gets a call, under which name.
func TestPlan(t *testing.T) {
	places := func(p ...backend.Place) func(blob.Scalar) ([]backend.Place, bool) {
		return func(blob.Scalar) ([]backend.Place, bool) { return p, true }
	}
	several := []backend.Member{at(1, "a"), at(2, "b"), at(2, "c"), at(3, "")}
	tests := []struct {
		name    string
		members []backend.Member
		change  func(*router.Route)
		want    []string // "address object" of each leg's choices
	}{
		{"the balancer's", []backend.Member{at(1, ""), at(2, "")}, func(*router.Route) {}, []string{"any dispatcher"}},
		{"by template", []backend.Member{at(1, "")}, func(r *router.Route) { r.Deliver.Object = template(t, "listener.{info}") },
			[]string{"any listener.topic"}},
		{"all, by their names", several, func(r *router.Route) {
			r.Deliver.To, r.Deliver.Object = router.ToAll, template(t, "listener.{info}")
		}, []string{"1 a", "2 b", "2 c", "3 listener.topic"}},
		{"the first", several, func(r *router.Route) { r.Deliver.To = router.ToFirst }, []string{"1 a", "2 b", "2 c", "3 dispatcher"}},
		{"registered ones", several, func(r *router.Route) {
			r.Deliver.To = router.ToAll
			r.Deliver.Listeners = places(backend.Place{Address: endpoint(3), Object: "z"}, backend.Place{Address: endpoint(8), Object: "unknown"},
				backend.Place{Address: endpoint(1), Object: "y"})
		}, []string{"3 z", "1 y"}},
		{"one of those", several, func(r *router.Route) {
			r.Deliver.Listeners = places(backend.Place{Address: endpoint(3), Object: "z"})
		}, []string{"3 z"}},
	}
	for _, d := range dialects {
		for _, tt := range tests {
			t.Run(fmt.Sprint(d, " ", tt.name), func(t *testing.T) {
				x := newDispatch(t, d, tt.members, tt.change)
				rd := x.gives(x.blob(about("topic")).Bytes())
				if rd == nil {
					t.Fatalf("not dispatched: %q", x.told().Data)
				}
				var got []string
				for i := range rd.Legs {
					l := &rd.Legs[i]
					for more := true; more; more = l.Next() {
						only := "any"
						if address := l.Attempt().Only.Addr; address != "" {
							only = strings.TrimSuffix(strings.TrimPrefix(address, "192.0.2."), ":9999")
						}
						got = append(got, only+" "+l.Target())
					}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				x.abandon(rd)
			})
		}
	}
}

// abandon ends all legs of a delivery, and its session.
func (x *dispatch) abandon(rd *router.Delivery) {
	for i := range rd.Legs {
		rd.Legs[i].End(start, router.LegResult{Err: context.Canceled, Outcome: metrics.Aborted})
	}
	x.session.Abort(start)
	x.session.Gone()
}

// TestPlanLeastLoaded: a call for one of several goes to who has the least to do, and to
// the others where that one cannot be had.
func TestPlanLeastLoaded(t *testing.T) {
	x := newDispatch(t, wire.V502, []backend.Member{at(1, "a"), at(2, "b"), at(3, "c")}, func(*router.Route) {})
	busy := map[string]int{"a": 2, "b": 0, "c": 1}
	for object, n := range busy {
		for range n {
			_, err := x.cluster.Acquire(t.Context(), &backend.Attempt{
				Dialect: wire.V502, Only: map[string]backend.Address{"a": endpoint(1), "c": endpoint(3)}[object],
				Handshake: x.cluster.Introduce(wire.Greeting{Dialect: wire.V502, Serializer: wire.Serpent, Object: object}),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	rd := x.gives(x.blob(about("topic")).Bytes())
	got := ""
	for more := true; more; more = rd.Legs[0].Next() {
		got += rd.Legs[0].Target()
	}
	if got != "bca" {
		t.Errorf("goes to %s", got)
	}
	x.abandon(rd)
}

// TestBegin: what a target gets is what the client sent, for another object, with the id
// that it was given.
func TestBegin(t *testing.T) {
	tent := wire.Chunk{ID: [4]byte{'T', 'E', 'N', 'T'}, Value: []byte("acme")}
	for _, d := range dialects {
		for _, made := range []bool{false, true} {
			for _, method := range []string{"", "on_{method}"} {
				t.Run(fmt.Sprint(d, made, method), func(t *testing.T) {
					x := newDispatch(t, d, []backend.Member{at(1, "target")}, func(r *router.Route) {
						r.Policy.Preserve = !made
						if method != "" {
							r.Deliver.Method = template(t, method)
						}
					})
					m := x.blob(about("topic"), tent)
					if !made {
						m = m.WithCorrelation(testID)
					}
					b := m.Bytes()
					rd := x.gives(b)
					lease, err := x.cluster.Acquire(t.Context(), rd.Legs[0].Attempt())
					if err != nil {
						t.Fatal(err)
					}
					head, cut, err := rd.Legs[0].Begin(start, lease, nil, b)
					if err != nil {
						t.Fatal(err)
					}
					got, err := pyrotest.ReadMessage(bytes.NewReader(append(head, b[cut:]...)))
					if err != nil {
						t.Fatal(err)
					}
					id, ok := got.Correlation()
					if !ok || (id == testID) == made || id == [16]byte{} {
						t.Errorf("has the id %x", id)
					}
					if got.Head.Seq != m.Head.Seq || !got.Head.Has(wire.KeepSerialized) || !bytes.Equal(got.Data, m.Data) {
						t.Errorf("got %+v %q", got.Head, got.Data)
					}
					blobs := 0
					for _, c := range got.Chunks {
						switch c.ID {
						case wire.ChunkBlob:
							blobs++
							said, err := blob.Parse(c.Value)
							want := strings.ReplaceAll(method, "{method}", "process_blob")
							if method == "" {
								want = "process_blob"
							}
							if err != nil || said.Object != "target" || said.Method != want {
								t.Errorf("it says %q.%q, %v", said.Object, said.Method, err)
							}
						case tent.ID:
							blobs += 10
						}
					}
					if blobs != 11 {
						t.Errorf("chunks: %v", got.Chunks)
					}
					lease.Done(backend.Torn)
					x.abandon(rd)
				})
			}
		}
	}
}
