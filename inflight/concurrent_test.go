package inflight

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
)

// TestConcurrent: many goroutines use few trees, with everything there is. It is for
// the race detector; the graph must be empty in the end.
func TestConcurrent(t *testing.T) {
	g := New(200)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			var mine []*Call
			for range 3000 {
				o := Origin{
					Correlation: [16]byte{byte(random.IntN(4))},
					Made:        random.IntN(4) == 0,
					Source:      netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(4))}),
				}
				node := Node{Name: string(rune('A' + random.IntN(4))), Host: netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(4))})}
				if len(mine) > 0 && random.IntN(2) == 0 {
					o.Chain, _ = ParseChain(mine[random.IntN(len(mine))].Annotation())
				}
				p := g.Look(o)
				c, kind := p.Circle(node)
				if kind != None && random.IntN(8) == 0 {
					g.Report(c, kind, 0, true)
				}
				p.Holding(node.Name)
				call := g.Begin(o, p, node, 1)
				call.SetValue(worker)
				p.Parent().Value()
				mine = append(mine, call)
				switch call := mine[random.IntN(len(mine))]; random.IntN(4) {
				case 0:
					call.Failed()
					call.ChildFailed()
				case 1:
					call.Abandon()
				case 2:
					call.Detach()
				}
				if len(mine) > 20 {
					mine[0].End()
					mine = mine[1:]
				}
				g.Circles()
			}
			for _, c := range mine {
				c.End()
			}
		})
	}
	all.Wait()
	if g.Len() != 0 || g.Untracked() > 8*3000 {
		t.Errorf("%d calls are left, %d were not tracked", g.Len(), g.Untracked())
	}
}
