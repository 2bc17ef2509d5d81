package config

import (
	"encoding"
	"strconv"
)

// Quick is the short form of a configuration, for a command line. All values
// are texts, as a flag gives them.
type Quick struct {
	Listen        []string // addresses to listen on, as ParseAddress reads them
	Backend       []string // addresses of daemons
	ConsulService []string // names of services in Consul
	NameServer    []string // addresses of the name server

	// What is not nil replaces values of the file.
	Advertise      *string // how clients reach all listeners, as ParseAdvertise reads it
	Topics         *string // the object id of the topics' registry
	StateDir       *string // where what survives a restart is
	Consul         *string // where Consul is, as ParseConsulAddress reads it
	Mode           *string // of all routes
	Timeout        *string // of calls, by all listeners and routes
	TimeoutError   *string // of all routes, as are the following two
	Circular       *string
	Correlation    *string
	MaxConnections *string // of all clusters, as are the following
	Queue          *string
	Retries        *string
}

// ApplyQuick replaces what the short form names. Addresses to listen on
// replace all listeners: the only one is called "main", several "listener-1"
// and so on. Backends and services replace all routes and clusters by one
// cluster "default" with the endpoints of both, and one route of that name that
// matches everything. Addresses of the name server replace all of its listeners: the
// only one is called "nameserver", several "nameserver-1" and so on. An empty list
// replaces nothing. What is advertised is so by all listeners that are not Unix
// sockets; its host also by those of the name server. The mode and the numbers
// are then those of every route and cluster, but for the mode of routes that can have
// only one; what has a place in the defaults is
// put there, and every listener and route inherits it.
//
// The error is a Problems whose File is the flag, as "--listen" or "--queue",
// for the texts that cannot be read; c is unchanged then.
func (c *Config) ApplyQuick(q Quick) error {
	var p quickParser
	listen := p.addresses("--listen", q.Listen)
	backend := p.addresses("--backend", q.Backend)
	names := p.addresses("--nameserver", q.NameServer)
	advertise := parsed(&p, "--advertise", q.Advertise, ParseAdvertise)
	consul := parsed(&p, "--consul", q.Consul, ParseConsulAddress)
	mode := parsed(&p, "--mode", q.Mode, parseText[Mode])
	timeout := parsed(&p, "--timeout", q.Timeout, parseDuration)
	timeoutError := parsed(&p, "--timeout-error", q.TimeoutError, parseText[TimeoutError])
	circular := parsed(&p, "--circular", q.Circular, parseText[Circular])
	correlation := parsed(&p, "--correlation", q.Correlation, parseText[Correlation])
	connections := parsed(&p, "--max-connections", q.MaxConnections, parseCount)
	queue := parsed(&p, "--queue", q.Queue, parseCount)
	retries := parsed(&p, "--retries", q.Retries, parseCount)
	if len(p.problems) > 0 {
		return p.problems
	}
	c.listenOn(listen)
	c.sendTo(backend, q.ConsulService)
	c.nameAt(names)
	c.advertise(advertise)
	override(c, &c.Topics.Object, q.Topics, "topics.object", "--topics")
	override(c, &c.StateDir, q.StateDir, "state_dir", "--state-dir")
	if consul != nil {
		c.Consul.Address = *consul
		c.source.remember("consul.address", place{file: "--consul"})
	}
	override(c, &c.Defaults.Timeout, timeout, "defaults.timeout", "--timeout")
	override(c, &c.Defaults.TimeoutError, timeoutError, "defaults.timeout_error", "--timeout-error")
	override(c, &c.Defaults.Circular, circular, "defaults.circular", "--circular")
	override(c, &c.Defaults.Correlation, correlation, "defaults.correlation", "--correlation")
	for i := range c.Listeners {
		disown(&c.Listeners[i].Timeout, timeout)
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		if !r.alwaysCall() {
			override(c, &r.Mode, mode, join(index("routes", i), "mode"), "--mode")
		}
		disown(&r.Timeout, timeout)
		disown(&r.TimeoutError, timeoutError)
		disown(&r.Circular, circular)
		disown(&r.Correlation, correlation)
	}
	for i := range c.Clusters {
		cluster, path := &c.Clusters[i], index("clusters", i)
		override(c, &cluster.MaxConnections, connections, join(path, "max_connections"), "--max-connections")
		override(c, &cluster.Queue, queue, join(path, "queue"), "--queue")
		override(c, &cluster.Retries, retries, join(path, "retries"), "--retries")
	}
	return nil
}

// listenOn makes the addresses, if there are any, those of all listeners.
func (c *Config) listenOn(addresses []Address) {
	if len(addresses) == 0 {
		return
	}
	c.Listeners = nil
	c.source.replace("--listen", "listeners")
	for i, address := range addresses {
		l := DefaultListener()
		l.Name, l.Address = "main", address
		if len(addresses) > 1 {
			l.Name = "listener-" + strconv.Itoa(i+1)
		}
		c.Listeners = append(c.Listeners, l)
	}
}

// sendTo makes the daemons and services, if there are any, the only cluster.
func (c *Config) sendTo(daemons []Address, services []string) {
	if len(daemons) == 0 && len(services) == 0 {
		return
	}
	flag := "--backend"
	if len(daemons) == 0 {
		flag = "--consul-service"
	}
	c.source.replace(flag, "routes", "clusters")
	cluster := DefaultCluster()
	cluster.Name = "default"
	for _, address := range daemons {
		e := DefaultEndpoint()
		e.Address = address
		cluster.Static = append(cluster.Static, e)
	}
	if len(services) > 0 {
		cluster.Consul.Service = services
		c.source.remember("clusters[0].consul", place{file: "--consul-service"})
	}
	c.Clusters = []Cluster{cluster}
	route := DefaultRoute()
	route.Name, route.Cluster = "default", "default"
	c.Routes = []Route{route}
}

// nameAt makes the addresses, if there are any, those of the name server.
func (c *Config) nameAt(addresses []Address) {
	if len(addresses) == 0 {
		return
	}
	c.NameServer.Listeners = nil
	c.source.replace("--nameserver", "name_server.listeners")
	for i, address := range addresses {
		l := DefaultNameListener()
		l.Name, l.Address = "nameserver", address
		if len(addresses) > 1 {
			l.Name = "nameserver-" + strconv.Itoa(i+1)
		}
		c.NameServer.Listeners = append(c.NameServer.Listeners, l)
	}
}

// advertise makes a, if it was given, what all listeners advertise. Its port is not
// the name server's.
func (c *Config) advertise(a *Advertise) {
	if a == nil {
		return
	}
	for i := range c.Listeners {
		if l := &c.Listeners[i]; l.Address.Network != "unix" {
			override(c, &l.Advertise, a, join(index("listeners", i), "advertise"), "--advertise")
		}
	}
	for i := range c.NameServer.Listeners {
		host := Advertise{Host: a.Host}
		override(c, &c.NameServer.Listeners[i].Advertise, &host, join(index("name_server.listeners", i), "advertise"), "--advertise")
	}
}

// override replaces one value by that of a flag, if it was given.
func override[T any](c *Config, dst, value *T, path, flag string) {
	if value == nil {
		return
	}
	*dst = *value
	c.source.remember(path, place{file: flag})
}

// disown makes a listener or route inherit what a flag, if it was given, has set
// for all of them.
func disown[T any](own **T, flag *T) {
	if flag != nil {
		*own = nil
	}
}

// quickParser collects what is wrong with the texts of a Quick.
type quickParser struct{ problems Problems }

func (p *quickParser) addresses(flag string, texts []string) []Address {
	addresses := make([]Address, len(texts))
	for i := range texts {
		if address := parsed(p, flag, &texts[i], ParseAddress); address != nil {
			addresses[i] = *address
		}
	}
	return addresses
}

// parsed returns nil for no text, and for one that cannot be read.
func parsed[T any](p *quickParser, flag string, text *string, parse func(string) (T, error)) *T {
	if text == nil {
		return nil
	}
	value, err := parse(*text)
	if err != nil {
		p.problems = append(p.problems, Problem{File: flag, Text: err.Error()})
		return nil
	}
	return &value
}

// parseText parses what reads its own text.
func parseText[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](text string) (value T, err error) {
	err = P(&value).UnmarshalText([]byte(text))
	return value, err
}
