package names

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// list: Pyro4 counts arguments that are not None and goes by the first true one; Pyro5
// goes by truth alone.
func (s *Server) list(ctx context.Context, from control.Caller, a bound) (values.Value, error) {
	const oneThing = "you can only filter on one thing at a time"
	if from.Dialect == wire.V48 {
		given := 0
		for _, p := range []string{"prefix", "regex", "metadata_all", "metadata_any"} {
			if a[p] != nil {
				given++
			}
		}
		if given > 1 {
			return nil, valueError(oneThing)
		}
	} else if truth(a["prefix"]) && truth(a["regex"]) {
		return nil, valueError(oneThing)
	}
	q := query{}
	for _, by := range []struct {
		kind  queryKind
		param string
	}{{byPrefix, "prefix"}, {byRegex, "regex"}, {byAll, "metadata_all"}, {byAny, "metadata_any"}} {
		if truth(a[by.param]) {
			q = s.query(by.kind, a[by.param])
			break
		}
	}
	return s.answer(ctx, from, q, truth(a["return_metadata"]))
}

// yplookup gives metadata unless told otherwise, and nothing when asked for nothing.
func (s *Server) yplookup(ctx context.Context, from control.Caller, a bound) (values.Value, error) {
	all, any := a["meta_all"], a["meta_any"]
	withMetadata, given := a["return_metadata"]
	metadata := !given || truth(withMetadata)
	switch {
	case truth(all) && truth(any):
		return nil, valueError("you can't use meta_all or meta_any at the same time")
	case truth(all):
		return s.answer(ctx, from, s.query(byAll, all), metadata)
	case truth(any):
		return s.answer(ctx, from, s.query(byAny, any), metadata)
	}
	return values.Dict{}, nil
}

// answer is a dict of names and what is told of them.
//
// A name that cannot be exposed stays in a list, under the URI that it was registered
// with: it is there, and count and remove go by it. The answer to a search for
// metadata is for calling one of it at random (PYROMETA), so there it is left out.
func (s *Server) answer(ctx context.Context, from control.Caller, q query, withMetadata bool) (values.Value, error) {
	search := q.kind == byAll || q.kind == byAny
	if _, isText := q.arg.(string); search && isText {
		param := map[queryKind]string{byAll: "metadata_all", byAny: "metadata_any"}[q.kind]
		return nil, typeError(param + " should not be a str, but another iterable (set, list, etc)")
	}
	found, err := s.names.list(ctx, q, s.own(from))
	if err != nil {
		return nil, err
	}
	answer := make(values.Dict, 0, len(found))
	failed := 0
	for _, r := range found {
		if r.Name == OwnName {
			metadata := r.Metadata
			r = s.own(from)
			r.Metadata = metadata
		}
		_, text, err := s.expose(ctx, from, r)
		if err != nil {
			if failed++; failed == 1 {
				s.log.Warn("name cannot be exposed", zap.String("name", r.Name),
					zap.String("listener", from.Listener), control.CorrelationField(ctx), zap.Error(err))
			}
			if search {
				continue
			}
			text = r.Text()
		}
		var told values.Value = text
		if withMetadata {
			told = values.Tuple{text, metadataFor(from.Dialect, r.Metadata)}
		}
		answer = append(answer, values.Pair{Key: r.Name, Value: told})
	}
	if failed > 1 {
		s.log.Warn("more names cannot be exposed", zap.Int("names", failed-1), control.CorrelationField(ctx))
	}
	return answer, nil
}

// metadataFor is a set for Pyro5 and a list for Pyro4, which has Python 2 to think of.
func metadataFor(d wire.Dialect, metadata []string) values.Value {
	told := make([]values.Value, len(metadata))
	for i, m := range metadata {
		told[i] = m
	}
	if d == wire.V48 {
		return values.List(told)
	}
	return values.Set(told)
}

// expose gives the URI to hand out, and its text for a list: as it was registered, if
// nobody changed it.
func (s *Server) expose(ctx context.Context, from control.Caller, r Registration) (values.URI, string, error) {
	if r.Origin == Own || s.config.Exposer == nil {
		return r.URI, r.Text(), nil
	}
	uri, err := s.config.Exposer.Expose(ctx, r, from)
	if err != nil {
		return values.URI{}, "", err
	}
	if uri == r.URI {
		return uri, r.Text(), nil
	}
	return uri, uri.String(), nil
}

// ownMetadata are those that NameServerDaemon registers itself with.
const (
	ownMetadata4 = "class:Pyro4.naming.NameServer"
	ownMetadata5 = "class:Pyro5.nameserver.NameServer"
)

// own is the name server's own registration, for who asks.
func (s *Server) own(from control.Caller) Registration {
	address := Advertise{}
	if s.config.Advertise != nil {
		address = s.config.Advertise(from)
	}
	r := Registration{Name: OwnName, Origin: Own, Metadata: []string{ownMetadata5}}
	if from.Dialect == wire.V48 {
		r.Metadata = []string{ownMetadata4}
	}
	r.URI = values.URI{Protocol: "PYRO", Object: OwnName}
	r.URI.Host, r.URI.Port = address.For(from.Local)
	return r
}

// parseURI takes what register takes for a URI: one, or a string that is one.
func parseURI(v values.Value) (values.URI, string, error) {
	switch v := v.(type) {
	case values.URI:
		return v, v.String(), nil
	case *values.URI:
		if v != nil {
			return *v, v.String(), nil
		}
	case string:
		uri, err := values.ParseURI(v)
		if err != nil {
			return uri, "", exception("errors.PyroError", uriError(err))
		}
		return uri, v, nil
	}
	return values.URI{}, "", typeError("only URIs or strings can be registered")
}

// uriError says what the libraries say of a text that is no URI. values.ParseURI's
// errors are worded for our logs.
func uriError(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "too many brackets"):
		return "invalid ipv6 address: enclosed in too many brackets"
	case strings.Contains(text, "ipv6"):
		return "invalid ipv6 address: the part between brackets must be a numeric ipv6 address"
	}
	if _, quoted, ok := strings.Cut(text, "invalid port "); ok {
		if port, err := strconv.Unquote(quoted); err == nil {
			return "invalid port in uri, port=" + port
		}
	}
	return text
}

// nameAndMetadata checks these two of register and set_metadata as far as the
// libraries do before they look for the name. Pyro4 takes anything false for no
// metadata, Pyro5 only None.
func nameAndMetadata(d wire.Dialect, a bound) (name string, metadata []values.Value, err error) {
	name, ok := a["name"].(string)
	if !ok {
		return "", nil, typeError("name must be a str")
	}
	raw := a["metadata"]
	if _, isText := raw.(string); isText {
		return "", nil, typeError("metadata should not be a str, but another iterable (set, list, etc)")
	}
	if raw == nil || d == wire.V48 && !truth(raw) {
		return name, nil, nil
	}
	metadata, err = items(raw)
	return name, metadata, err
}

// stringTags is set(metadata), of strings only: the libraries say that they are
// strings, but do not look.
func stringTags(list []values.Value) ([]string, error) {
	told := make([]string, 0, len(list))
	for _, item := range list {
		if err := hashable(item); err != nil {
			return nil, err
		}
	}
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			return nil, typeError("metadata must be strings, not " + typeName(item))
		}
		told = append(told, s)
	}
	return tags(told), nil
}

// fits checks what is to be changed against the limits.
func (s *Server) fits(name, uri string, metadata []string) error {
	limits := s.config.Limits
	switch {
	case s.protected(name):
		return namingError("name is protected: " + name)
	case len(name) > limits.Name:
		return valueError(fmt.Sprintf("name is longer than %d bytes", limits.Name))
	case len(uri) > limits.URI:
		return valueError(fmt.Sprintf("uri is longer than %d bytes", limits.URI))
	case len(metadata) > limits.Tags:
		return valueError(fmt.Sprintf("more than %d metadata for one name", limits.Tags))
	case !utf8.ValidString(name) || !utf8.ValidString(uri):
		return valueError("name and uri must be valid Unicode")
	}
	for _, m := range metadata {
		if len(m) > limits.Tag {
			return valueError(fmt.Sprintf("metadata longer than %d bytes", limits.Tag))
		}
		if !utf8.ValidString(m) {
			return valueError("metadata must be valid Unicode")
		}
	}
	return nil
}
