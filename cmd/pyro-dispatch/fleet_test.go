package main

import (
	"context"
	"slices"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/discovery"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestInDialect: a cluster's dialect is that of members that state none.
func TestInDialect(t *testing.T) {
	source := discovery.Static{
		{Address: backend.Address{Network: "tcp", Addr: "192.0.2.1:1"}},
		{Address: backend.Address{Network: "tcp", Addr: "192.0.2.2:1"}, Dialect: wire.V502},
	}
	for _, c := range []struct {
		dialect wire.Dialect
		want    []wire.Dialect
	}{
		{0, []wire.Dialect{0, wire.V502}},
		{wire.V48, []wire.Dialect{wire.V48, wire.V502}},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var got []wire.Dialect
		inDialect{source, c.dialect}.Run(ctx, func(members []backend.Member) {
			for _, m := range members {
				got = append(got, m.Dialect)
			}
			cancel()
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("in a cluster of %v: %v, want %v", c.dialect, got, c.want)
		}
	}
}

// TestPinnable: what is not bounded in the configuration is not in the cluster,
// whose 0 means that nobody may pin.
func TestPinnable(t *testing.T) {
	cluster := config.DefaultCluster()
	for _, c := range []struct {
		max  int
		call bool
		want int
	}{
		{0, false, 1 << 30},
		{0, true, 16},
		{4, true, 2},
		{1, true, 1},
	} {
		cluster.MaxConnections = c.max
		if got := pinnable(cluster.Bounds(c.call)); got != c.want {
			t.Errorf("max_connections %d, mode call %t: %d, want %d", c.max, c.call, got, c.want)
		}
	}
}
