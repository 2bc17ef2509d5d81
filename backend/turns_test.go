package backend

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

const (
	v48  = wire.V48
	v502 = wire.V502
)

// connect is one client's way to an endpoint. speaks says in which dialect each
// endpoint answers, where it is not the client's. It returns "" where there was
// no endpoint.
func (r *rig) connect(t *testing.T, d wire.Dialect, speaks map[string]wire.Dialect) (endpoint string) {
	a := &Attempt{Dialect: d}
	for {
		l, err := r.Acquire(t.Context(), a)
		if err != nil {
			return ""
		}
		answer := speaks[l.Endpoint.Address.Addr]
		if answer == d || answer == 0 {
			l.Answered(d)
			l.Done(Served)
			return l.Endpoint.Address.Addr
		}
		l.Learn(answer)
		l.Done(OtherDialect)
	}
}

// TestTurns checks the exact order in which endpoints are chosen by clients who
// come one after the other.
func TestTurns(t *testing.T) {
	mixed := map[string]wire.Dialect{addrA: v48, addrB: v48, addrC: v502, addrD: v502}
	tests := []struct {
		name     string
		n        int // endpoints
		open     string
		declared map[string]wire.Dialect
		speaks   map[string]wire.Dialect
		clients  []wire.Dialect // over and over again
		want     string         // the endpoints they get
	}{
		{
			name: "one", n: 1, open: "a", clients: []wire.Dialect{v502},
			want: "aaaa",
		},
		{
			name: "all can be connected", n: 4, open: "abcd", clients: []wire.Dialect{v502},
			want: "abcdabcdabcd",
		},
		{
			name: "one is down", n: 3, open: "ac", clients: []wire.Dialect{v502},
			want: "acacacacacac",
		},
		{
			name: "the first is down", n: 4, open: "bcd", clients: []wire.Dialect{v502},
			want: "bcdbcdbcdbcd",
		},
		{
			name: "neighbours are down", n: 4, open: "ad", clients: []wire.Dialect{v502},
			want: "adadadadadad",
		},
		{
			name: "declared dialects, one kind of clients", n: 4, open: "abcd", declared: mixed, clients: []wire.Dialect{v502},
			want: "cdcdcdcd",
		},
		{
			name: "declared dialects, both kinds of clients", n: 4, open: "abcd", declared: mixed,
			clients: []wire.Dialect{v48, v502},
			want:    "acbdacbdacbd",
		},
		{
			name: "declared dialects, more clients of one kind", n: 4, open: "abcd", declared: mixed,
			clients: []wire.Dialect{v48, v502, v502},
			want:    "acdbcdacdbcd",
		},
		{
			name: "dialects to be learnt, both kinds of clients", n: 4, open: "abcd", speaks: mixed,
			clients: []wire.Dialect{v48, v502},
			want:    "acbdacbdacbd",
		},
		{
			name: "dialects to be learnt, one of each kind down", n: 4, open: "ad", speaks: mixed,
			clients: []wire.Dialect{v48, v502},
			want:    "adadadadadad",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var configs []Member
			for _, addr := range addrABCD[:test.n] {
				configs = append(configs, Member{
					Address: Address{Network: "tcp", Addr: addr},
					Dialect: test.declared[addr],
				})
			}
			r := newRigOf(configs...)
			letters := map[string]string{"": "-"}
			for i, addr := range addrABCD {
				letter := string(rune('a' + i))
				letters[addr] = letter
				if strings.Contains(test.open, letter) {
					r.open(t, addr)
				}
			}
			var got strings.Builder
			for i := range test.want {
				d := test.clients[i%len(test.clients)]
				got.WriteString(letters[r.connect(t, d, test.speaks)])
			}
			if got.String() != test.want {
				t.Errorf("got  %s\nwant %s", &got, test.want)
			}
			r.wantNoneOpen(t)
		})
	}
}

// TestFairShares wants every endpoint that can be connected to get exactly as
// many of many clients at once as any other, whatever the rest is like.
func TestFairShares(t *testing.T) {
	mixed := map[string]wire.Dialect{addrA: v48, addrB: v502, addrC: v48, addrD: v502}
	const goroutines, each = 4, 120 // clients of each goroutine
	tests := []struct {
		name    string
		open    []string
		learnt  map[string]wire.Dialect // before the clients come
		clients []wire.Dialect          // over and over again
		want    map[string]int          // of 12 clients
	}{
		{"all open", addrABCD, nil, []wire.Dialect{v502}, map[string]int{addrA: 3, addrB: 3, addrC: 3, addrD: 3}},
		{"one down", []string{addrA, addrB, addrD}, nil, []wire.Dialect{v502}, map[string]int{addrA: 4, addrB: 4, addrD: 4}},
		{"two down", []string{addrC, addrD}, nil, []wire.Dialect{v48}, map[string]int{addrC: 6, addrD: 6}},
		{"dialects", addrABCD, mixed, []wire.Dialect{v48, v502}, map[string]int{addrA: 3, addrB: 3, addrC: 3, addrD: 3}},
		{"dialects, one down", addrABCD[:3], mixed, []wire.Dialect{v48, v502}, map[string]int{addrA: 3, addrB: 6, addrC: 3}},
		{"dialects, clients of one", addrABCD, mixed, []wire.Dialect{v48}, map[string]int{addrA: 6, addrC: 6}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(addrABCD...)
			r.open(t, test.open...)
			for addr, d := range test.learnt {
				r.learnt(d, addr)
			}
			var mu sync.Mutex
			got := make(map[string]int)
			var wg sync.WaitGroup
			for range goroutines {
				wg.Go(func() {
					for i := range each {
						addr := r.connect(t, test.clients[i%len(test.clients)], test.learnt)
						mu.Lock()
						got[addr]++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			want := make(map[string]int)
			for addr, n := range test.want {
				want[addr] = n * goroutines * each / 12
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("clients by endpoint (-want +got):\n%s", diff)
			}
			r.wantNoneOpen(t)
		})
	}
}

// TestFairSharesBesideBlackHole: attempts that waited for an endpoint in vain
// come back among those that others have begun since.
func TestFairSharesBesideBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(addrABCD...)
		r.open(t, addrA, addrC, addrD)
		r.network.BlackHole(addrB)
		var mu sync.Mutex
		got := make(map[string]int)
		var wg sync.WaitGroup
		for range 90 {
			wg.Go(func() {
				addr := r.connect(t, v502, nil)
				mu.Lock()
				got[addr]++
				mu.Unlock()
			})
			time.Sleep(connectTimeout / 7)
		}
		wg.Wait()
		want := map[string]int{addrA: 30, addrC: 30, addrD: 30}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("clients by endpoint (-want +got):\n%s", diff)
		}
		if n := r.failures(t)["timeout"]; n < 90/4 || n > 90/3 {
			t.Errorf("%v clients waited for the black hole", n)
		}
	})
}

// BenchmarkPick is the cost of the choice in a cluster of which half speaks the
// other dialect.
func BenchmarkPick(b *testing.B) {
	members := make([]Member, 100)
	for i := range members {
		members[i] = Member{
			Address: Address{Network: "tcp", Addr: fmt.Sprintf("192.0.2.%d:9999", i)},
			Dialect: []wire.Dialect{v48, v502}[i/50],
		}
	}
	r := newRigOf(members...)
	b.RunParallel(func(pb *testing.PB) {
		a := &Attempt{Dialect: v502}
		for pb.Next() {
			r.lock()
			if e, _ := r.choose(a, time.Now()); e == nil {
				b.Error("nothing picked")
			}
			r.unlock()
		}
	})
}
