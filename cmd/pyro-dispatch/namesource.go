package main

import (
	"context"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/discovery"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/names"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// nameSource makes a source that follows a name server.
func (f *fleet) nameSource(c *config.Cluster) (backend.Source, error) {
	s := &c.NameServer
	return discovery.NewNameServer(discovery.NameServerConfig{
		Cluster: c.Name, Server: s.Address.String(),
		Dial: func(ctx context.Context) (discovery.Caller, error) {
			client, err := control.Dial(ctx, nameServerClient(s.Address, wire.Dialect(s.Dialect), f.keys[s.HMACKeyFile]))
			if err != nil {
				return nil, err
			}
			return client, nil
		},
		Prefix: s.Prefix, Regex: s.Regex, MetadataAll: s.MetadataAll, MetadataAny: s.MetadataAny,
		Dialect: wire.Dialect(c.Dialect), Interval: s.Interval,
		Log: f.log, Events: f.events(c.Name, metrics.SourceNames),
	})
}

func nameServerClient(at config.Address, d wire.Dialect, key wire.Key) control.ClientConfig {
	return control.ClientConfig{Network: at.Network, Address: at.Address, Dialect: d, Object: names.OwnName, HMACKey: key}
}
