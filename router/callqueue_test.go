package router

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestCallQueue has random pushes and pops behave as a slice's.
func TestCallQueue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q callQueue
	var want []uint16
	for i := range 10_000 {
		if r.IntN(2) == 0 && !q.full() {
			q.push(call{seq: uint16(i)})
			want = append(want, uint16(i))
		} else if q.len() > 0 {
			if c := q.pop(); c.seq != want[0] {
				t.Fatalf("step %d: call %d came out, want %d", i, c.seq, want[0])
			}
			want = want[1:]
		}
		var got []uint16
		for j := range q.len() {
			got = append(got, q.at(j).seq)
		}
		if !slices.Equal(got, want) || len(got) > maxPipelined {
			t.Fatalf("step %d: the queue has %d, want %d", i, got, want)
		}
		if len(want) > 0 && (q.oldest().seq != want[0] || q.newest().seq != want[len(want)-1]) {
			t.Fatalf("step %d: of %d, %d is the oldest and %d the newest", i, want, q.oldest().seq, q.newest().seq)
		}
	}
}

// TestCallQueueForgets: what an idle session's calls had is nobody's any more.
func TestCallQueueForgets(t *testing.T) {
	var q callQueue
	for range 3 {
		q.push(call{failure: ErrTimeout})
	}
	for q.len() > 0 {
		q.pop()
	}
	if q.first.failure != nil || q.rest != nil {
		t.Errorf("the empty queue keeps %+v", q)
	}
}
