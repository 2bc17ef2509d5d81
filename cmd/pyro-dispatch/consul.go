package main

import (
	"cmp"
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
	check := checkURL(adminAt, host)
	if check == "" {
		f.log.Warn("registered without a check: Consul's agent cannot ask an admin server that is off or at a Unix socket")
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

// checkURL is where Consul's agent asks the admin server: at its own address, or
// where that is every local address, at the one that is registered, or on the
// machine that it shares with the agent. It is empty where the agent cannot ask.
func checkURL(admin net.Addr, registered string) string {
	at, ok := admin.(*net.TCPAddr)
	if !ok {
		return ""
	}
	host := at.IP.String()
	if at.IP.IsUnspecified() {
		host = cmp.Or(registered, "127.0.0.1")
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(at.Port)) + "/readyz"
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
