package backend

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestHas: only what a daemon says of an object itself counts, in whichever dialect, and
// asking leaves the endpoint as it was.
func TestHas(t *testing.T) {
	for _, tt := range []struct {
		name       string
		speaks     wire.Dialect // the daemon
		declared   wire.Dialect
		mood       pyrotest.Script
		has, known bool
	}{
		{"there", 0, 0, pyrotest.AcceptConnect, true, true},
		{"there, in the other dialect", wire.V48, 0, pyrotest.AcceptConnect, true, true},
		{"gone", 0, 0, pyrotest.RejectConnect("unknown object"), false, true},
		{"gone, declared", wire.V48, wire.V48, pyrotest.RejectConnect("unknown object"), false, true},
		{"refused otherwise", 0, 0, pyrotest.RejectConnect("no, unknown object"), false, false},
		{"no free workers", 0, 0, pyrotest.RejectConnect(pyrotest.NoFreeWorkers), false, false},
		{"silent", 0, 0, pyrotest.Silence, false, false},
		{"hangs up", 0, 0, pyrotest.Hangup, false, false},
		{"garbage", 0, 0, pyrotest.Garbage([]byte("unknown object, and then some more of it")), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := checking(addrA)
				cfg.Members[0].Dialect = tt.declared
				r := newRigWith(cfg)
				r.daemon(t, addrA, &pyrotest.Daemon{Dialect: tt.speaks, OnConnect: tt.mood})
				began := time.Now()
				has, known := r.Has(t.Context(), cfg.Members[0].Address, "x", "hello")
				if has != tt.has || known != tt.known {
					t.Errorf("has: %v, known: %v", has, known)
				}
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("took %v", took)
				}
				if s := r.Status().Endpoints[0]; s.State != "up" || s.Connections != 0 {
					t.Errorf("left %+v", s)
				}
			})
		})
	}
	r := newRig(addrA)
	if has, known := r.Has(context.Background(), Address{Network: "tcp", Addr: addrB}, "x", ""); has || known {
		t.Error("a daemon is asked that is no member")
	}
}
