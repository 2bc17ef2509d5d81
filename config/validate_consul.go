package config

import (
	"regexp"
	"time"
)

func (v *validator) consul(c *Consul) {
	if c.Token != "" && c.TokenFile != "" {
		v.problem("consul.token", "is given together with token_file: give one of them")
	}
	v.text("consul.token_file", "the name of a file", c.TokenFile)
	v.token("consul.token", c.Token)
	v.text("consul.datacenter", "a datacenter", c.Datacenter)
	v.text("consul.namespace", "a namespace", c.Namespace)
	v.text("consul.partition", "a partition", c.Partition)
	v.consulTLS("consul.tls", c)
	v.text("consul.discover.tag", "a tag", c.Discover.Tag)
	v.register("consul.register", &c.Register)
}

// token is text, except that it is not repeated in messages.
func (v *validator) token(path, token string) {
	if len(token) > maxText || !isVisibleASCII(token) {
		v.problem(path, "is not a token: it is too long, or has blanks or characters that are not ASCII")
	}
}

func (v *validator) consulTLS(path string, c *Consul) {
	if c.TLS != (ConsulTLS{}) && c.Address.Scheme != "https" && !v.source.unread["consul.address"] {
		v.problem(path, "means nothing with consul.address %s, only with an https:// address", c.Address)
	}
	switch cert, key := c.TLS.CertFile != "", c.TLS.KeyFile != ""; {
	case cert && !key:
		v.problem(join(path, "cert_file"), "needs key_file")
	case key && !cert:
		v.problem(join(path, "key_file"), "needs cert_file")
	}
	v.text(join(path, "ca_file"), "the name of a file", c.TLS.CAFile)
	v.text(join(path, "cert_file"), "the name of a file", c.TLS.CertFile)
	v.text(join(path, "key_file"), "the name of a file", c.TLS.KeyFile)
	v.text(join(path, "server_name"), "a name", c.TLS.ServerName)
}

// serviceName is what Consul's DNS can serve as well.
var serviceName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

func (v *validator) register(path string, r *Register) {
	v.texts(join(path, "tags"), "a tag", r.Tags)
	v.duration(join(path, "check_interval"), r.CheckInterval, time.Second, maxTimeout)
	v.durationOrNone(join(path, "deregister_after"), r.DeregisterAfter, time.Minute, 30*day)
	if r.DeregisterAfter != 0 {
		v.notLonger(path, "check_interval", r.CheckInterval, "deregister_after", r.DeregisterAfter)
	}
	if r.Address.Network == "unix" {
		v.problem(join(path, "address"), "%q: a service has a host and a port", r.Address)
	} else if !r.Address.IsZero() {
		v.registeredAt(join(path, "address"), r.Address)
	}
	if r.Name == "" {
		return
	}
	if !serviceName.MatchString(r.Name) {
		v.problem(join(path, "name"), "%q is not the name of a service: use letters, digits and hyphens, at most 63, beginning and ending with a letter or digit", r.Name)
	}
	if v.Admin.Address.IsZero() {
		v.problem(join(path, "name"), "needs admin.address: Consul asks the admin server whether the dispatcher is ready")
	}
	if r.Address.IsZero() && len(v.Listeners) > 0 && !v.listensOnTCP() {
		v.problem(join(path, "address"), "is missing: all listeners are Unix sockets, and a service has a host and a port")
	}
}

// registeredAt checks an address that others are to connect to.
func (v *validator) registeredAt(path string, a Address) {
	switch host, port, _ := a.hostPort(); {
	case isWildcard(host):
		v.problem(path, "%q names no host: others cannot connect to it", a)
	case port == "0":
		v.problem(path, "%q: others cannot connect to port 0", a)
	}
}

// listensOnTCP reports whether a listener has a host and a port, or may have.
func (v *validator) listensOnTCP() bool {
	for i, l := range v.Listeners {
		at := index("listeners", i)
		if l.Address.Network != "unix" || v.source.unread[at] || v.source.unread[join(at, "address")] {
			return true
		}
	}
	return false
}
