package names

import (
	"context"
	"path"
	"slices"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Limits bounds what clients may register and ask; zero fields mean the defaults.
type Limits struct {
	Name    int           // bytes of a name, 255
	URI     int           // bytes of a URI, 1024
	Tags    int           // metadata of one name, 64
	Tag     int           // bytes of one of them, 255
	Pattern int           // bytes of a regular expression, 256
	Wait    time.Duration // for the store, the upstream name server and searching, 5 s
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *int
		value int
	}{{&l.Name, 255}, {&l.URI, 1024}, {&l.Tags, 64}, {&l.Tag, 255}, {&l.Pattern, 256}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if l.Wait <= 0 {
		l.Wait = 5 * time.Second
	}
	return l
}

// Config is what a Server needs; the zero Config is a plain name server.
type Config struct {
	// Exposer maps every URI that is handed out, but not that of the name server
	// itself. nil: they are handed out as they were registered.
	Exposer Exposer
	// Advertise gives our address for who asks, and with it the URI of the name server
	// itself. nil: the address that the question came in on.
	Advertise func(control.Caller) Advertise
	// MayRegister says who may change names. nil: everybody.
	MayRegister func(control.Caller) bool
	// Protected are names, or globs of path.Match, that no client can change. The name
	// server's own name always is.
	Protected []string
	Limits    Limits
	Log       *zap.Logger // may be nil
}

// Server is the object "Pyro.NameServer".
//
// It differs from the libraries' name servers in what it protects: its own name can be
// neither registered nor given metadata (theirs can only not be removed), published
// names cannot be changed, metadata must be strings, and lengths and numbers are
// bounded. The rest is as in the library of whoever asks, which its dialect tells.
type Server struct {
	names  Names
	config Config
	log    *zap.Logger
}

// NewServer makes one that answers for names.
func NewServer(names Names, config Config) *Server {
	config.Limits = config.Limits.withDefaults()
	if config.Log == nil {
		config.Log = zap.NewNop()
	}
	return &Server{names: names, config: config, log: config.Log}
}

// Members are those of Pyro5's name server.
func (s *Server) Members() control.Members {
	return s.MembersOf(wire.V502)
}

// MembersOf is control.MembersOf's: Pyro4's name server has no yplookup.
func (*Server) MembersOf(d wire.Dialect) control.Members {
	m := control.Members{
		Class: "NameServer", Methods: []string{"count", "list", "lookup", "ping", "register", "remove", "set_metadata"},
		Hidden: []string{"lock", "storage"},
	}
	if d == wire.V502 {
		m.Methods = append(m.Methods, "yplookup")
	}
	return m
}

// Call is control.Object's. Errors that clients are meant to see are *values.Exception.
func (s *Server) Call(ctx context.Context, from control.Caller, method string, args []values.Value, kwargs values.Dict) (values.Value, error) {
	sig, ok := signatureOf(method, from.Dialect)
	if !ok {
		return nil, exception("builtins.AttributeError", "attempt to access unexposed attribute '"+method+"'")
	}
	a, err := bind(method, sig, args, kwargs)
	if err != nil {
		return nil, err
	}
	if from.Dialect == wire.V48 && (from.Serializer == wire.Marshal || from.Serializer == wire.Msgpack) {
		for param, v := range a {
			a[param] = ofPython2(v)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Limits.Wait)
	defer cancel()
	switch method {
	case "count":
		n, err := s.names.count(ctx)
		return integer(n, err)
	case "ping":
		return nil, s.names.ping(ctx)
	case "lookup":
		return s.lookup(ctx, from, a)
	case "list":
		return s.list(ctx, from, a)
	case "yplookup":
		return s.yplookup(ctx, from, a)
	}
	if may := s.config.MayRegister; may != nil && !may(from) {
		s.log.Info("change of names refused", zap.String("method", method),
			zap.String("listener", from.Listener), zap.Stringer("from", from.Remote), control.CorrelationField(ctx))
		return nil, exception("errors.SecurityError", method+" is not permitted from here")
	}
	switch method {
	case "register":
		return nil, s.register(ctx, from, a)
	case "set_metadata":
		return nil, s.setMetadata(ctx, from, a)
	}
	return s.remove(ctx, from, a)
}

func integer(n int, err error) (values.Value, error) {
	if err != nil {
		return nil, err
	}
	return int64(n), nil
}

// lookup: self.storage[name], and the text of the error is "unknown name: " + name.
func (s *Server) lookup(ctx context.Context, from control.Caller, a bound) (values.Value, error) {
	if err := hashable(a["name"]); err != nil {
		return nil, err
	}
	name, ok := a["name"].(string)
	if !ok {
		return nil, typeError("can only concatenate str (not \"" + typeName(a["name"]) + "\") to str")
	}
	r := s.own(from)
	if name != OwnName {
		if !s.nameFits(name) {
			return nil, unknownName(name)
		}
		var err error
		if r, err = s.names.lookup(ctx, name); err != nil {
			return nil, err
		}
	}
	uri, _, err := s.expose(ctx, from, r)
	if err != nil {
		return nil, namingError(err.Error())
	}
	if truth(a["return_metadata"]) {
		return values.Tuple{uri, metadataFor(from.Dialect, r.Metadata)}, nil
	}
	return uri, nil
}

func (s *Server) register(ctx context.Context, from control.Caller, a bound) error {
	r := Registration{Origin: Registered, By: from.Remote.String(), At: time.Now().UTC().Truncate(time.Second)}
	var err error
	if r.URI, r.text, err = parseURI(a["uri"]); err != nil {
		return err
	}
	name, raw, err := nameAndMetadata(from.Dialect, a)
	if err != nil {
		return err
	}
	safe := truth(a["safe"])
	if safe && name == OwnName {
		return alreadyRegistered(name)
	}
	metadata, err := stringTags(raw)
	if err != nil {
		if safe && s.has(ctx, name) {
			return alreadyRegistered(name) // they look at the metadata's items after this
		}
		return err
	}
	if err := s.fits(name, r.text, metadata); err != nil {
		return err
	}
	r.Name, r.Metadata = name, metadata
	return s.names.register(ctx, r, safe)
}

func (s *Server) has(ctx context.Context, name string) bool {
	_, err := s.names.lookup(ctx, name)
	return err == nil
}

func (s *Server) setMetadata(ctx context.Context, from control.Caller, a bound) error {
	name, raw, err := nameAndMetadata(from.Dialect, a)
	if err != nil {
		return err
	}
	metadata, err := stringTags(raw)
	if err != nil {
		if name != OwnName {
			if _, unknown := s.names.lookup(ctx, name); unknown != nil {
				return unknown
			}
		}
		return err
	}
	if !s.nameFits(name) {
		return unknownName(name)
	}
	if err := s.fits(name, "", metadata); err != nil {
		return err
	}
	return s.names.setMetadata(ctx, name, metadata)
}

// remove goes on from an unknown name to the prefix in Pyro4, and does not in Pyro5.
func (s *Server) remove(ctx context.Context, from control.Caller, a bound) (values.Value, error) {
	if value := a["name"]; truth(value) {
		name, isText := value.(string)
		if err := hashable(value); err != nil {
			return nil, err
		}
		if !isText || name != OwnName {
			there := false
			if isText && s.nameFits(name) {
				if s.protected(name) && s.has(ctx, name) {
					return nil, namingError("name is protected: " + name)
				}
				var err error
				if there, err = s.names.remove(ctx, name); err != nil {
					return nil, err
				}
			}
			if there {
				return int64(1), nil
			}
			if from.Dialect != wire.V48 {
				return int64(0), nil
			}
		}
	}
	q := s.query(byPrefix, a["prefix"])
	if !truth(q.arg) {
		if q = s.query(byRegex, a["regex"]); !truth(q.arg) {
			return int64(0), nil
		}
	}
	var keep func(string) bool
	if len(s.config.Protected) > 0 {
		keep = s.protected
	}
	n, err := s.names.removeMatching(ctx, q, keep)
	return integer(n, err)
}

func (s *Server) query(kind queryKind, arg values.Value) query {
	return query{kind, arg, s.config.Limits.Pattern}
}

// protected says whether clients must leave a name alone.
func (s *Server) protected(name string) bool {
	return name == OwnName || slices.ContainsFunc(s.config.Protected, func(glob string) bool {
		ok, err := path.Match(glob, name)
		return ok || err != nil && glob == name
	})
}

func (s *Server) nameFits(name string) bool {
	return len(name) <= s.config.Limits.Name && utf8.ValidString(name)
}
