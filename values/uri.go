package values

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// ErrURI: the text is not a URI to Pyro.
var ErrURI = errors.New("invalid uri")

// URI is a Pyro URI. What is not in it is empty or 0, where Python has None.
type URI struct {
	Protocol string // PYRO, PYRONAME or PYROMETA
	Object   string // of a PYROMETA the metadata, sorted and with commas between them: a set in Python
	Host     string // IPv6 without brackets; for a PYRONAME and a PYROMETA the name server's, if anything
	Port     int
	Sockname string // of a Unix socket, in the place of Host and Port
}

// nsPort is the port of name servers: the setting NS_PORT in both libraries.
const nsPort = 9090

// The regular expressions of URI in Pyro4/core.py and Pyro5/core.py. Python's \S knows
// Unicode's spaces, and its $ also matches in front of a last newline.
var (
	uriForm  = regexp.MustCompile(`^([Pp][Yy][Rr][Oo][a-zA-Z]*):([^\s\x0b\x1c-\x1f\x{85}\p{Z}]+?)(?:@(.+))?\n?$`)
	ipv6Form = regexp.MustCompile(`^\[([0-9a-fA-F:%]+)\](?::([0-9]+))?`)
)

// ParseURI reads a URI as both libraries do, with what they let pass: a PYRO without a
// host, a port beyond 65535, text behind an IPv6 address. Errors wrap ErrURI.
func ParseURI(text string) (URI, error) {
	m := uriForm.FindStringSubmatch(text)
	if m == nil {
		return URI{}, ErrURI
	}
	u := URI{Protocol: strings.ToUpper(m[1]), Object: m[2]}
	location, port := m[3], strconv.Itoa(nsPort)
	switch u.Protocol {
	case "PYRO":
		if location == "" {
			return URI{}, ErrURI
		}
		port = "None"
	case "PYROMETA":
		u.Object = joinMeta(strings.Split(u.Object, ","))
	case "PYRONAME":
	default:
		return URI{}, fmt.Errorf("%w (protocol)", ErrURI)
	}
	switch {
	case location == "":
		return u, nil
	case strings.HasPrefix(location, "./u:"):
		u.Sockname = location[len("./u:"):]
		if u.Sockname == "" || strings.Contains(u.Sockname, ":") {
			return URI{}, fmt.Errorf("%w (location)", ErrURI)
		}
		return u, nil
	case strings.HasPrefix(location, "[["):
		return URI{}, fmt.Errorf("%w: ipv6 address in too many brackets", ErrURI)
	case strings.HasPrefix(location, "["):
		m := ipv6Form.FindStringSubmatch(location)
		if m == nil {
			return URI{}, fmt.Errorf("%w: no numeric ipv6 address between brackets", ErrURI)
		}
		u.Host = m[1]
		if m[2] != "" {
			port = m[2]
		}
	default:
		host, given, _ := strings.Cut(location, ":")
		u.Host = host
		if given != "" {
			port = given
		}
	}
	var ok bool
	if u.Port, ok = pythonInt(port); !ok {
		return URI{}, fmt.Errorf("%w: invalid port %q", ErrURI, port)
	}
	return u, nil
}

// pythonInt is int(text) for what an int can hold: spaces around it, a sign, and single
// underscores between digits.
func pythonInt(text string) (int, bool) {
	text = strings.TrimFunc(text, unicode.IsSpace)
	bare := strings.TrimLeft(text, "+-")
	if bare == "" || bare[0] == '_' || bare[len(bare)-1] == '_' || strings.Contains(bare, "__") {
		return 0, false
	}
	i, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
	return i, err == nil
}

// joinMeta is the Object of a PYROMETA with these metadata.
func joinMeta(meta []string) string {
	meta = slices.Clone(meta)
	for i := range meta {
		meta[i] = strings.TrimFunc(meta[i], unicode.IsSpace)
	}
	slices.Sort(meta)
	return strings.Join(slices.Compact(meta), ",")
}

// Location is the part behind the @, "" where there is none.
func (u URI) Location() string {
	switch {
	case strings.Contains(u.Host, ":"):
		return "[" + u.Host + "]:" + strconv.Itoa(u.Port)
	case u.Host != "":
		return u.Host + ":" + strconv.Itoa(u.Port)
	case u.Sockname != "":
		return "./u:" + u.Sockname
	}
	return ""
}

// String is the text that ParseURI reads, asString of both libraries.
func (u URI) String() string {
	s := u.Protocol + ":" + u.Object
	if location := u.Location(); location != "" {
		s += "@" + location
	}
	return s
}

// state is __getstate__.
func (u URI) state() Tuple {
	orNone := func(s string) Value {
		if s == "" {
			return nil
		}
		return s
	}
	state := Tuple{u.Protocol, u.Object, orNone(u.Sockname), orNone(u.Host), nil}
	if u.Protocol == "PYROMETA" {
		var meta Set
		for _, m := range strings.Split(joinMeta(strings.Split(u.Object, ",")), ",") {
			meta = append(meta, m)
		}
		state[1] = meta
	}
	if u.Host != "" || u.Port != 0 {
		state[4] = int64(u.Port)
	}
	return state
}

// uriFromState is __setstate__.
func uriFromState(v Value) (u URI, ok bool) {
	state, ok := sequence(v)
	if !ok || len(state) != 5 {
		return URI{}, false
	}
	if u.Protocol, ok = Text(state[0]); !ok {
		return URI{}, false
	}
	switch u.Protocol {
	case "PYRO", "PYRONAME":
		u.Object, ok = Text(state[1])
	case "PYROMETA":
		var meta []string
		if meta, ok = Strings(state[1]); !ok {
			var text string
			text, ok = Text(state[1])
			meta = strings.Split(text, ",")
		}
		u.Object = joinMeta(strings.Split(strings.Join(meta, ","), ","))
	default:
		return URI{}, false
	}
	if !ok {
		return URI{}, false
	}
	for i, to := range map[int]*string{2: &u.Sockname, 3: &u.Host} {
		if state[i] != nil {
			if *to, ok = Text(state[i]); !ok {
				return URI{}, false
			}
		}
	}
	if state[4] != nil {
		port, ok := Int(state[4])
		if !ok {
			return URI{}, false
		}
		u.Port = int(port)
	}
	return u, true
}
