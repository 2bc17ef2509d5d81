package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// envPrefix begins the names of all environment variables that are read. It is
// not PYRO_, because Pyro itself dies of variables with that prefix that it
// does not know.
const envPrefix = "DISPATCH_"

// envName returns the environment form of a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// hasEnv reports whether a flag has an environment form; --help has none.
func hasEnv(f *pflag.Flag) bool { return f.Name != "help" }

// settings are the flags of run and check. Those that nobody gave leave the
// file's value, or the default, as it is.
type settings struct {
	config              string
	listen, backend     []string
	consulService       []string
	nameserver          []string
	topics, advertise   string
	stateDir            string
	consul              string
	mode                string
	timeout             string
	timeoutError        string
	circular            string
	correlation         string
	maxConnections      string // numbers are read by config, which says better what is wrong with them
	queue, retries      string
	admin               string
	logLevel, logFormat string

	fromEnv     map[string]bool // the flags whose value the environment gave
	commTimeout bool            // defaults.timeout is PYRO_COMMTIMEOUT's
}

// source is how a message names the origin of a flag's value.
func (s *settings) source(flag string) string {
	if s.fromEnv[flag] {
		return envName(flag)
	}
	return "--" + flag
}

func (s *settings) addTo(f *pflag.FlagSet) {
	f.StringVar(&s.config, "config", "", "the configuration `FILE` (YAML)")
	f.StringArrayVar(&s.listen, "listen", nil, "an `ADDR` to accept clients at; may be repeated, and replaces the file's listeners")
	f.StringArrayVar(&s.backend, "backend", nil, "the `HOST:PORT` of a daemon, or unix:/path; may be repeated, and replaces the file's routes and clusters")
	f.StringArrayVar(&s.consulService, "consul-service", nil, "the `NAME` of a service in Consul whose instances are daemons; may be repeated and combined with --backend, and replaces the file's routes and clusters")
	f.StringArrayVar(&s.nameserver, "nameserver", nil, "an `ADDR` to be a name server at, usually :9090; may be repeated, and replaces those of the file")
	f.StringVar(&s.topics, "topics", "", "the id of the `OBJECT` at which listeners register for topics, in place of the dispatcher of Pyro's example blob-dispatch")
	f.StringVar(&s.advertise, "advertise", "", "the `HOST:PORT`, or either, at which clients reach all listeners from outside; the host is also the name server's")
	f.StringVar(&s.stateDir, "state-dir", "", "the `DIR` for names, topics and ports, so that they survive a restart; where Consul is used, they are in it")
	f.StringVar(&s.consul, "consul", "", "the `ADDR` of Consul, also with http:// or https:// in front (default 127.0.0.1:8500)")
	f.StringVar(&s.mode, "mode", "", "the `MODE` of all routes: session, a connection for each client, or call, one for each call (default session)")
	f.StringVar(&s.timeout, "timeout", "", "the `DURATION` that a call may take, on all routes, as Pyro's COMMTIMEOUT; 0s for no limit (default 0s, or PYRO_COMMTIMEOUT)")
	f.StringVar(&s.timeoutError, "timeout-error", "", "the `CLASS` that a client gets when a call takes longer, on all routes: pyro, Pyro's TimeoutError, or builtin, Python's (default pyro)")
	f.StringVar(&s.circular, "circular", "", "the `POLICY` for calls that close a circle of calls, on all routes: auto, which rejects those that cannot be served, reject or allow (default auto)")
	f.StringVar(&s.correlation, "correlation", "", "the `POLICY` for calls without a correlation id, on all routes: generate, which gives them one, or preserve (default generate)")
	f.StringVar(&s.maxConnections, "max-connections", "", "the largest `NUMBER` of connections to one daemon, in all clusters; 0 for 32 with mode call, and no limit with mode session (default 0)")
	f.StringVar(&s.queue, "queue", "", "the `NUMBER` of calls and clients that may wait for a daemon, in all clusters (default 1024)")
	f.StringVar(&s.retries, "retries", "", "the `NUMBER` of further daemons tried for one call or client, in all clusters (default 10)")
	f.StringVar(&s.admin, "admin", "", "the `ADDR` of the server for metrics and health checks, empty for none (default 127.0.0.1:9990)")
	f.StringVar(&s.logLevel, "log-level", "", "the least severe `LEVEL` to log: debug, info, warn or error (default info)")
	f.StringVar(&s.logFormat, "log-format", "", "the `FORMAT` of the log: json or console (default json)")
}

// readEnv gives the flags that the command line left out the values of their
// environment forms. An empty variable is as good as none, except for --admin,
// where empty means off.
func (s *settings) readEnv(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	s.fromEnv = make(map[string]bool)
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		value, ok := lookup(envName(f.Name))
		if f.Changed || !hasEnv(f) || !ok || value == "" && f.Name != "admin" {
			return
		}
		s.fromEnv[f.Name] = true
		values := []string{value}
		if _, list := f.Value.(pflag.SliceValue); list {
			values = strings.Split(value, ",")
		}
		for _, v := range values {
			if err := flags.Set(f.Name, strings.TrimSpace(v)); err != nil && failed == nil {
				failed = usagef("%s: %w", envName(f.Name), err)
			}
		}
	})
	return failed
}

// load returns the configuration that the file and the flags of cmd make
// together, and which is valid. Errors are a *usageError for what the flags
// say, a config.Problems, or what hindered reading the file.
func (s *settings) load(cmd *cobra.Command, lookup func(string) (string, bool)) (*config.Config, error) {
	if err := s.enough(); err != nil {
		return nil, err
	}
	c, err := s.base()
	if err != nil {
		return nil, err
	}
	if err := s.apply(cmd, c); err != nil {
		return nil, err
	}
	if err := consulFromEnv(c, lookup); err != nil {
		return nil, err
	}
	if err := s.commTimeoutFromEnv(c, lookup); err != nil {
		return nil, err
	}
	problems := c.Validate()
	if len(problems) == 0 {
		return c, nil
	}
	s.renameSources(problems)
	if s.config == "" {
		return nil, &usageError{problems} // everything came from flags
	}
	return nil, problems
}

// apply puts what the flags say in place of what c says.
func (s *settings) apply(cmd *cobra.Command, c *config.Config) error {
	// given returns nil for a flag that nobody gave.
	given := func(flag string, value *string) *string {
		if !cmd.Flags().Changed(flag) {
			return nil
		}
		return value
	}
	if err := c.ApplyQuick(config.Quick{
		Listen: s.listen, Backend: s.backend, ConsulService: s.consulService, NameServer: s.nameserver,
		Advertise:      given("advertise", &s.advertise),
		Topics:         given("topics", &s.topics),
		StateDir:       given("state-dir", &s.stateDir),
		Consul:         given("consul", &s.consul),
		Mode:           given("mode", &s.mode),
		Timeout:        given("timeout", &s.timeout),
		TimeoutError:   given("timeout-error", &s.timeoutError),
		Circular:       given("circular", &s.circular),
		Correlation:    given("correlation", &s.correlation),
		MaxConnections: given("max-connections", &s.maxConnections),
		Queue:          given("queue", &s.queue),
		Retries:        given("retries", &s.retries),
	}); err != nil {
		var problems config.Problems
		if errors.As(err, &problems) {
			s.renameSources(problems)
		}
		return &usageError{err}
	}
	for _, o := range []struct {
		flag, value string
		set         func([]byte) error
	}{
		{"admin", s.admin, c.Admin.Address.UnmarshalText},
		{"log-level", s.logLevel, c.Log.Level.UnmarshalText},
		{"log-format", s.logFormat, c.Log.Format.UnmarshalText},
	} {
		if !cmd.Flags().Changed(o.flag) {
			continue
		}
		if err := o.set([]byte(o.value)); err != nil {
			return usagef("%s: %w", s.source(o.flag), err)
		}
	}
	return nil
}

// The environment variables of Consul's own tools that count here, where neither
// the file nor a flag says as much.
const (
	consulAddrEnv      = "CONSUL_HTTP_ADDR"
	consulTokenEnv     = "CONSUL_HTTP_TOKEN"
	consulTokenFileEnv = "CONSUL_HTTP_TOKEN_FILE"
)

// consulFromEnv fills in what c does not say about reaching Consul. Where c
// needs no Consul, a variable that is meant for other programs cannot hurt.
func consulFromEnv(c *config.Config, lookup func(string) (string, bool)) error {
	if !c.UsesConsul() {
		return nil
	}
	if value, _ := lookup(consulAddrEnv); value != "" && !c.Given("consul.address") {
		if err := c.Consul.Address.UnmarshalText([]byte(value)); err != nil {
			return usagef("%s: %w", consulAddrEnv, err)
		}
	}
	if c.Consul.Token != "" || c.Consul.TokenFile != "" {
		return nil
	}
	// Consul's tools prefer the file, too.
	if c.Consul.TokenFile, _ = lookup(consulTokenFileEnv); c.Consul.TokenFile == "" {
		c.Consul.Token, _ = lookup(consulTokenEnv)
	}
	return nil
}

// commTimeoutEnv is Pyro's own variable, in seconds. Whoever has set it for a
// machine's daemons and clients wants no call to take longer.
const commTimeoutEnv = "PYRO_COMMTIMEOUT"

// commTimeoutFromEnv is told last, as it counts where nobody says otherwise.
func (s *settings) commTimeoutFromEnv(c *config.Config, lookup func(string) (string, bool)) (err error) {
	value, _ := lookup(commTimeoutEnv)
	if value == "" {
		return nil
	}
	if s.commTimeout, err = c.ApplyCommTimeout(value); err != nil {
		return usagef("%s: %w", commTimeoutEnv, err)
	}
	return nil
}

// renameSources makes problems with a flag's value name the environment
// variable that gave it.
func (s *settings) renameSources(problems config.Problems) {
	for i := range problems {
		if flag, ok := strings.CutPrefix(problems[i].File, "--"); ok && s.fromEnv[flag] {
			problems[i].File = s.source(flag)
		}
	}
}

// enough says what is lacking where neither a file nor the short form tells
// what to do.
func (s *settings) enough() error {
	calls := "" // the flag that says where calls go
	switch {
	case len(s.backend) > 0:
		calls = "--backend"
	case len(s.consulService) > 0:
		calls = "--consul-service"
	case len(s.nameserver) > 0:
		calls = "--nameserver"
	case s.topics != "":
		calls = "--topics"
	}
	switch {
	case s.config != "":
		return nil
	case len(s.listen) == 0 && calls == "":
		return usagef("nothing to do: give --config FILE, or --listen ADDR and --backend HOST:PORT, --consul-service NAME, --nameserver ADDR or --topics OBJECT")
	case calls == "":
		return usagef("--listen alone does not say where calls go: give --backend HOST:PORT, --consul-service NAME, --nameserver ADDR or --topics OBJECT too, or --config FILE")
	case len(s.listen) == 0:
		return usagef("%s alone does not say where clients connect: give --listen ADDR too, or --config FILE", calls)
	}
	return nil
}

// base returns what the flags are applied to: the file, or the defaults.
func (s *settings) base() (*config.Config, error) {
	if s.config == "" {
		c := config.Default()
		return &c, nil
	}
	return loadFile(s.config)
}

// loadFile reads a configuration file, which may be a pipe.
func loadFile(name string) (*config.Config, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	// One byte more than Load takes, so that it can tell.
	doc, err := io.ReadAll(io.LimitReader(f, config.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return config.Load(name, doc)
}
