package config

// defaultConnections is max_connections where a route of mode call leads to
// the cluster: below the 40 threads of Pyro4's pools, and the 80 of Pyro5's.
const defaultConnections = 32

// Bounds are how many connections one endpoint of a cluster may have, once the
// defaults that depend on other keys are known.
type Bounds struct {
	MaxConnections int // 0: no limit
	NestedReserve  int // of MaxConnections, and less; 0 where that is no limit
	MaxPinned      int // less than MaxConnections, unless that is 1; 0: no limit
}

// Bounds returns the cluster's bounds. call tells whether a route of mode call
// leads to it.
func (c *Cluster) Bounds(call bool) Bounds {
	b := Bounds{MaxConnections: c.MaxConnections, MaxPinned: c.MaxPinned}
	if b.MaxConnections == 0 && call {
		b.MaxConnections = defaultConnections
	}
	if b.MaxConnections == 0 {
		return b
	}
	b.NestedReserve = min(c.NestedReserve, b.MaxConnections-1)
	if b.MaxPinned == 0 {
		b.MaxPinned = b.MaxConnections / 2
	}
	b.MaxPinned = max(1, min(b.MaxPinned, b.MaxConnections-1))
	return b
}

// BoundsOf returns the bounds of one of the configuration's clusters.
func (c *Config) BoundsOf(cluster *Cluster) Bounds {
	return cluster.Bounds(c.callClusters()[cluster.Name])
}

// callClusters returns the names of the clusters that a route of mode call
// leads to.
func (c *Config) callClusters() map[string]bool {
	names := make(map[string]bool)
	for i := range c.Routes {
		if r := &c.Routes[i]; r.Mode == ModeCall {
			names[r.Cluster] = true
		}
	}
	return names
}
