package names

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// The methods of Names, as calls of the name server in its own forms. What it answers
// is looked at: it is somebody else's.

// method makes a request that has the same form in both dialects.
func method(name string, kwargs ...values.Pair) func(wire.Dialect) (string, values.Dict) {
	return func(wire.Dialect) (string, values.Dict) { return name, kwargs }
}

// strange is for answers that no name server gives.
func strange(method string, v values.Value) error {
	return namingError(fmt.Sprintf("the name server behind this one answered %s with a %s", method, typeName(v)))
}

func (u *Upstream) lookup(ctx context.Context, name string) (Registration, error) {
	v, _, err := u.call(ctx, false, method("lookup", values.Pair{Key: "name", Value: name},
		values.Pair{Key: "return_metadata", Value: true}))
	if err != nil {
		return Registration{}, err
	}
	r, ok := foreign(name, v)
	if !ok {
		return Registration{}, strange("lookup", v)
	}
	return r, nil
}

// foreign reads a pair of URI and metadata, as lookup and list give them.
func foreign(name string, v values.Value) (Registration, bool) {
	var pair []values.Value
	switch v := v.(type) {
	case values.Tuple:
		pair = v
	case values.List: // what JSON makes of a tuple
		pair = v
	}
	if len(pair) != 2 {
		return Registration{}, false
	}
	r := Registration{Name: name, Origin: Foreign}
	var err error
	if r.URI, r.text, err = parseURI(pair[0]); err != nil {
		return Registration{}, false
	}
	if list, err := items(pair[1]); err == nil {
		for _, item := range list {
			if s, ok := item.(string); ok {
				r.Metadata = append(r.Metadata, s)
			}
		}
	}
	r.Metadata = tags(r.Metadata)
	r.Group = declaredGroup(r.Metadata)
	return r, true
}

func (u *Upstream) list(ctx context.Context, q query, _ Registration) ([]Registration, error) {
	if q.kind == byAll || q.kind == byAny {
		if _, _, err := q.tags(); err != nil {
			return nil, err
		}
	}
	asked := ""
	v, _, err := u.call(ctx, false, func(d wire.Dialect) (string, values.Dict) {
		var kwargs values.Dict
		asked, kwargs = q.request(d)
		return asked, append(kwargs, values.Pair{Key: "return_metadata", Value: true})
	})
	if err != nil {
		return nil, err
	}
	answer, ok := v.(values.Dict)
	if !ok {
		return nil, strange(asked, v)
	}
	found, unread := make([]Registration, 0, len(answer)), 0
	for _, p := range answer {
		name, isText := p.Key.(string)
		r, ok := foreign(name, p.Value)
		if !isText || !ok {
			unread++
			continue
		}
		found = append(found, r)
	}
	if unread > 0 {
		u.log.Warn("upstream name server lists what cannot be read", zap.Int("names", unread))
	}
	sortByName(found)
	return found, nil
}

// Registrations asks the name server for all names, with what it says of itself.
func (u *Upstream) Registrations(ctx context.Context) ([]Registration, error) {
	return u.list(ctx, query{}, Registration{})
}

// request is how a name server is asked for q.
func (q query) request(d wire.Dialect) (string, values.Dict) {
	with := func(param string) values.Dict { return values.Dict{{Key: param, Value: q.arg}} }
	switch {
	case q.kind == byPrefix:
		return "list", with("prefix")
	case q.kind == byRegex:
		return "list", with("regex")
	case q.kind == byAll && d == wire.V48:
		return "list", with("metadata_all")
	case q.kind == byAny && d == wire.V48:
		return "list", with("metadata_any")
	case q.kind == byAll:
		return "yplookup", with("meta_all")
	case q.kind == byAny:
		return "yplookup", with("meta_any")
	}
	return "list", nil
}

// metadataArgument is a list, which every serializer has.
func metadataArgument(metadata []string) values.Value {
	list := make(values.List, len(metadata))
	for i, m := range metadata {
		list[i] = m
	}
	return list
}

func (u *Upstream) register(ctx context.Context, r Registration, safe bool) error {
	_, _, err := u.call(ctx, true, method("register",
		values.Pair{Key: "name", Value: r.Name}, values.Pair{Key: "uri", Value: r.Text()},
		values.Pair{Key: "safe", Value: safe}, values.Pair{Key: "metadata", Value: metadataArgument(r.Metadata)}))
	return err
}

func (u *Upstream) setMetadata(ctx context.Context, name string, metadata []string) error {
	_, _, err := u.call(ctx, true, method("set_metadata",
		values.Pair{Key: "name", Value: name}, values.Pair{Key: "metadata", Value: metadataArgument(metadata)}))
	return err
}

func (u *Upstream) remove(ctx context.Context, name string) (bool, error) {
	n, err := u.number(ctx, true, method("remove", values.Pair{Key: "name", Value: name}))
	return n > 0, err
}

func (u *Upstream) number(ctx context.Context, change bool, request func(wire.Dialect) (string, values.Dict)) (int, error) {
	v, d, err := u.call(ctx, change, request)
	if err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	if !ok {
		name, _ := request(d)
		return 0, strange(name, v)
	}
	return int(n), nil
}

// removeMatching leaves it to the name server, unless some names are to be kept.
func (u *Upstream) removeMatching(ctx context.Context, q query, keep func(string) bool) (int, error) {
	if keep == nil {
		return u.number(ctx, true, func(d wire.Dialect) (string, values.Dict) {
			_, kwargs := q.request(d)
			return "remove", kwargs
		})
	}
	found, err := u.list(ctx, q, Registration{})
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, r := range found {
		if r.Name == OwnName || keep(r.Name) {
			continue
		}
		there, err := u.remove(ctx, r.Name)
		if err != nil {
			return removed, err
		}
		if there {
			removed++
		}
	}
	return removed, nil
}

func (u *Upstream) count(ctx context.Context) (int, error) {
	return u.number(ctx, false, method("count"))
}

func (u *Upstream) ping(ctx context.Context) error {
	_, _, err := u.call(ctx, false, method("ping"))
	return err
}
