package main

import (
	"context"
	"net"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/discovery"
	"github.com/pyro-dispatch/pyro-dispatch/metrics"
)

func newConsul(c *config.Consul) (*discovery.Client, error) {
	return discovery.NewClient(discovery.ClientConfig{
		Address: c.Address.String(), Token: c.Token, TokenFile: c.TokenFile,
		Datacenter: c.Datacenter, Namespace: c.Namespace, Partition: c.Partition,
		TLS: discovery.TLS{
			CAFile: c.TLS.CAFile, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile,
			ServerName: c.TLS.ServerName, InsecureSkipVerify: c.TLS.InsecureSkipVerify,
		},
	})
}

// newRegistration makes the dispatcher's entry in Consul, nil where it is to have
// none. listeners are those that were opened, adminAt is the admin server's
// address.
func (f *fleet) newRegistration(cfg *config.Config, listeners []net.Listener, adminAt net.Addr, version string) *discovery.Registration {
	r := &cfg.Consul.Register
	if r.Name == "" {
		return nil
	}
	host, port := registered(r.Address, listeners)
	check := ""
	if adminAt != nil {
		check = "http://" + checkedAt(adminAt, host) + "/readyz"
	}
	return discovery.NewRegistration(f.consul, discovery.RegistrationConfig{
		Name: r.Name, Address: host, Port: port, Tags: r.Tags,
		Meta:     map[string]string{"version": version},
		CheckURL: check, CheckInterval: r.CheckInterval, DeregisterAfter: r.DeregisterAfter,
		Log: f.log, Events: f.events("", metrics.SourceRegistration),
	})
}

// registered is where others are to connect: the address that the configuration
// gives, or that of the first TCP listener. No host means the one that Consul
// knows this machine by.
func registered(given config.Address, listeners []net.Listener) (host string, port int) {
	if !given.IsZero() {
		h, p, err := net.SplitHostPort(given.Address)
		if err != nil {
			return "", 0 // validated as host:port
		}
		n, _ := strconv.Atoi(p)
		return h, n
	}
	for _, l := range listeners {
		if at, ok := l.Addr().(*net.TCPAddr); ok {
			if at.IP.IsUnspecified() {
				return "", at.Port
			}
			return at.IP.String(), at.Port
		}
	}
	return "", 0
}

// checkedAt is where Consul's agent reaches the admin server: at its own address,
// or where that is every local address, at the one that is registered, or on the
// machine that it shares with the agent.
func checkedAt(admin net.Addr, registered string) string {
	at, ok := admin.(*net.TCPAddr)
	if !ok || !at.IP.IsUnspecified() {
		return admin.String()
	}
	if registered == "" {
		registered = "127.0.0.1"
	}
	return net.JoinHostPort(registered, strconv.Itoa(at.Port))
}

// deregisterTime bounds how long the entry in Consul may hold up draining.
const deregisterTime = 3 * time.Second

// deregister takes the entry out of Consul, so that nobody new is sent here.
func deregister(r *discovery.Registration, log *zap.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), deregisterTime)
	defer cancel()
	if err := r.Deregister(ctx); err != nil {
		log.Warn("could not deregister from Consul: its health check will find out", zap.Error(err))
	}
}
