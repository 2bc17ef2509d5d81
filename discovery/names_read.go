package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// nameServerName is the name that a name server has at itself.
const nameServerName = "Pyro.NameServer"

// Bounds of what is taken from an answer, whose size is bounded by the Caller.
const (
	maxNames    = 10_000
	maxProblems = 20
)

// errNoNames: there is no such name, not often enough to be believed.
var errNoNames = errors.New("no name of the name server matches: the last members stay in force for the grace")

// read makes names of what the name server answers: a dict of URIs, in their order.
func (s *NameServer) read(answer values.Dict, dialect wire.Dialect) (names []Named, problems []problem) {
	type entry struct {
		name string
		uri  values.Value
	}
	var entries []entry
	more := false
	complain := func(where, what string) {
		if more = len(problems) == maxProblems; !more {
			problems = append(problems, problem{where: fmt.Sprintf("%.100s", where), what: fmt.Sprintf("%.200s", what)})
		}
	}
	for _, p := range answer {
		name, ok := values.Text(p.Key)
		if !ok {
			complain("a name", "it is no text")
			continue
		}
		// SqlStorage finds prefixes with LIKE, which ignores case and has wildcards.
		if name != nameServerName && strings.HasPrefix(name, s.config.Prefix) {
			entries = append(entries, entry{name, p.Value})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	if len(entries) > maxNames {
		complain("the answer", fmt.Sprintf("it has %d names, of which the first %d are taken", len(entries), maxNames))
		entries = entries[:maxNames]
	}
	for _, e := range entries {
		n, err := named(e.name, e.uri)
		if err != nil {
			complain(e.name, err.Error())
			continue
		}
		n.Dialect, n.Weight = dialect, 1
		names = append(names, n)
	}
	if more {
		problems = append(problems, problem{where: "the answer", what: "it has more problems than these"})
	}
	return names, problems
}

// named reads the URI of a name.
func named(name string, v values.Value) (Named, error) {
	uri, ok := v.(values.URI)
	if !ok {
		text, isText := values.Text(v)
		if !isText {
			return Named{}, fmt.Errorf("it has a %T for a URI", v)
		}
		var err error
		if uri, err = values.ParseURI(text); err != nil {
			return Named{}, err
		}
	}
	if uri.Protocol != "PYRO" {
		return Named{}, fmt.Errorf("its URI is a %s, which says nothing of an address", uri.Protocol)
	}
	address, err := uriAddress(uri)
	return Named{Name: name, Member: backend.Member{Address: address, Object: uri.Object}}, err
}

func uriAddress(uri values.URI) (backend.Address, error) {
	if uri.Sockname == "" {
		return tcpAddress(uri.Host, uri.Port)
	}
	// A relative one is in the daemon's directory, which nobody knows.
	if path := uri.Sockname; !strings.HasPrefix(path, "/") || len(path) > maxSocketPath || strings.ContainsRune(path, 0) {
		return backend.Address{}, fmt.Errorf("the socket path %q is none", path)
	}
	return backend.Address{Network: "unix", Addr: uri.Sockname}, nil
}

// nameServerError is a failure to ask a name server.
type nameServerError struct {
	doing  string
	reason Reason
	err    error
}

func (e *nameServerError) Error() string {
	return fmt.Sprintf("%s: %.*s", e.doing, maxErrorBody, e.err)
}
func (e *nameServerError) Unwrap() error { return e.err }

// askingError finds the reason of an error of a Caller's, or else it is otherwise.
func askingError(doing string, err error, otherwise Reason) error {
	reason := otherwise
	var raised *values.Exception
	var network net.Error
	switch {
	case errors.As(err, &raised):
		reason = reasonOfException(raised)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &network) && network.Timeout():
		reason = ReasonTimeout
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		reason = ReasonUnreachable
	}
	return &nameServerError{doing: doing, reason: reason, err: err}
}

// reasonOfException tells errors in the question from those of the name server.
func reasonOfException(e *values.Exception) Reason {
	switch e.Class {
	case "builtins.TypeError", "builtins.ValueError", "builtins.AttributeError":
		return ReasonRequest
	case "errors.NamingError":
		if len(e.Args) > 0 {
			if text, ok := values.Text(e.Args[0]); ok && strings.HasPrefix(text, "invalid regex") {
				return ReasonRequest
			}
		}
	}
	return ReasonServer
}
