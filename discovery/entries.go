package discovery

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Keys in the meta of an instance.
const (
	metaDialect = "pyro-dialect"
	metaWeight  = "pyro-weight"
	metaTarget  = "pyro-target" // the object that calls with a blob are for
)

const (
	maxWeight     = 65535 // Consul's own limit, and SRV's
	maxSocketPath = 107   // what sun_path of unix(7) holds beside its terminating NUL
)

// members reads an answer of Consul. Entries that are not understood are
// problems and no members; values that are not, problems only.
func (s *Consul) members(entries []*api.ServiceEntry) (members []backend.Member, problems []problem) {
	members = make([]backend.Member, 0, len(entries))
	for _, e := range entries {
		if e == nil || e.Service == nil {
			problems = append(problems, problem{where: "an instance", what: "it has no service"})
			continue
		}
		where := e.Service.ID
		if e.Node != nil {
			where += " on " + e.Node.Node
		}
		complain := func(err error) { problems = append(problems, problem{where: where, what: err.Error()}) }
		state, err := stateOf(e.Checks)
		if err != nil {
			complain(err)
			continue
		}
		weight, wanted := s.weight(state, e.Service, complain)
		if !wanted {
			continue
		}
		address, err := addressOf(e)
		if err != nil {
			complain(err)
			continue
		}
		dialect, err := parseDialect(e.Service.Meta[metaDialect])
		if err != nil {
			complain(fmt.Errorf("%s: %w", metaDialect, err))
		}
		members = append(members, backend.Member{
			Address: address, Dialect: dialect, Weight: weight, Object: e.Service.Meta[metaTarget],
		})
	}
	return members, problems
}

// stateOf is the worst state of an instance's checks and its node's. What is in
// maintenance is critical. api.HealthChecks.AggregatedStatus would panic at a
// check that is null.
func stateOf(checks api.HealthChecks) (string, error) {
	state := api.HealthPassing
	for _, c := range checks {
		if c == nil {
			return "", fmt.Errorf("a check is null")
		}
		switch {
		case c.Status == api.HealthPassing:
		case c.Status == api.HealthWarning && state == api.HealthPassing:
			state = api.HealthWarning
		case c.Status == api.HealthWarning:
		case c.Status == api.HealthCritical:
			state = api.HealthCritical
		default:
			return "", fmt.Errorf("the state of check %q is %q", c.CheckID, c.Status)
		}
	}
	return state, nil
}

// weight is an instance's in its state; it reports false where that means that
// the instance is none of the members. A weight of 0 means that while it warns:
// it is how Consul's own DNS is told to leave it alone.
func (s *Consul) weight(state string, service *api.AgentService, complain func(error)) (int, bool) {
	weight := service.Weights.Passing
	switch {
	case state == api.HealthPassing:
	case state == api.HealthWarning && s.config.Warning:
		if weight = service.Weights.Warning; weight < 1 {
			return 0, false
		}
	default:
		return 0, false
	}
	if text := service.Meta[metaWeight]; text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < 1 || n > maxWeight {
			complain(fmt.Errorf("%s: %q is not a number from 1 to %d", metaWeight, text, maxWeight))
		} else {
			weight = n
		}
	}
	return min(max(weight, 1), maxWeight), true
}

func addressOf(e *api.ServiceEntry) (backend.Address, error) {
	if path := e.Service.SocketPath; path != "" {
		if !strings.HasPrefix(path, "/") || len(path) > maxSocketPath || strings.ContainsRune(path, 0) {
			return backend.Address{}, fmt.Errorf("the socket path %q is none", path)
		}
		return backend.Address{Network: "unix", Addr: path}, nil
	}
	host := e.Service.Address
	if host == "" && e.Node != nil {
		host = e.Node.Address
	}
	return tcpAddress(host, e.Service.Port)
}

// tcpAddress makes an address that can be connected to.
func tcpAddress(host string, port int) (backend.Address, error) {
	if port < 1 || port > 65535 {
		return backend.Address{}, fmt.Errorf("the port is %d", port)
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && (ip.IsUnspecified() || ip.IsMulticast()):
		return backend.Address{}, fmt.Errorf("nobody can connect to the address %q", host)
	case err == nil:
		host = ip.Unmap().String() // one spelling for one address
	case !isHostName(host):
		return backend.Address{}, fmt.Errorf("%q is no address", host)
	}
	return backend.Address{Network: "tcp", Addr: net.JoinHostPort(host, strconv.Itoa(port))}, nil
}

// isHostName is lax: what looks like a name is for the resolver to judge.
func isHostName(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	for _, c := range []byte(host) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// parseDialect reads a dialect as configuration files and Consul's meta spell
// it; an empty text is 0, not known.
func parseDialect(text string) (wire.Dialect, error) {
	switch text {
	case "":
		return 0, nil
	case wire.V48.String():
		return wire.V48, nil
	case wire.V502.String():
		return wire.V502, nil
	}
	return 0, fmt.Errorf("%q is neither pyro4 nor pyro5", text)
}
