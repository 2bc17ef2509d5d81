package config

import "strconv"

// Quick is the short form of a configuration, for a command line.
type Quick struct {
	Listen  []string // addresses to listen on, as ParseAddress reads them
	Backend []string // addresses of daemons
}

// ApplyQuick replaces what the short form names. Addresses to listen on
// replace all listeners: the only one is called "main", several "listener-1"
// and so on. Backends replace all routes and clusters by one cluster "default"
// and one route of that name that matches everything. An empty list replaces
// nothing.
//
// The error is a Problems whose File is the flag, "--listen" or "--backend",
// for the texts that are not addresses; c is unchanged then.
func (c *Config) ApplyQuick(q Quick) error {
	listen, problems := parseAll("--listen", q.Listen)
	backend, more := parseAll("--backend", q.Backend)
	if problems = append(problems, more...); len(problems) > 0 {
		return problems
	}
	if len(listen) > 0 {
		c.Listeners = nil
		c.source.replace("--listen", "listeners")
		for i, address := range listen {
			l := DefaultListener()
			l.Name, l.Address = "main", address
			if len(listen) > 1 {
				l.Name = "listener-" + strconv.Itoa(i+1)
			}
			c.Listeners = append(c.Listeners, l)
		}
	}
	if len(backend) > 0 {
		c.source.replace("--backend", "routes", "clusters")
		cluster := DefaultCluster()
		cluster.Name = "default"
		for _, address := range backend {
			cluster.Static = append(cluster.Static, Endpoint{Address: address, Weight: 1})
		}
		c.Clusters = []Cluster{cluster}
		route := DefaultRoute()
		route.Name, route.Cluster = "default", "default"
		c.Routes = []Route{route}
	}
	return nil
}

func parseAll(flag string, texts []string) ([]Address, Problems) {
	var problems Problems
	addresses := make([]Address, len(texts))
	for i, text := range texts {
		address, err := ParseAddress(text)
		if err != nil {
			problems = append(problems, Problem{File: flag, Text: err.Error()})
			continue
		}
		addresses[i] = address
	}
	return addresses, problems
}
