package values

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Proxy is the state of a Pyro proxy.
type Proxy struct {
	URI                    URI
	Methods, Oneway, Attrs []string // sets in Python; sorted when read
	Handshake              Value    // what the proxy says when it connects, "hello" unless it was changed
	Serializer             string   // of the proxy's calls, "" for the one its program uses
	HMACKey                []byte   // V48 only, and only where the proxy has one
}

// state is __getstate__ of Pyro5/client.py, __getstate_for_dict__ of Pyro4/core.py.
// Pyro4 writes its timeout and retries too, and reads neither.
func (p Proxy) state(d wire.Dialect) Tuple {
	names := func(names []string) Tuple {
		t := make(Tuple, 0, len(names))
		for _, name := range names {
			t = append(t, name)
		}
		return t
	}
	state := Tuple{p.URI.String(), names(p.Oneway), names(p.Methods), names(p.Attrs)}
	if d == wire.V48 {
		var key Value
		if len(p.HMACKey) > 0 {
			key = hmacPrefix + base64.StdEncoding.EncodeToString(p.HMACKey)
		}
		state = append(state, nil, key, p.Handshake, int64(0))
	} else {
		state = append(state, p.Handshake)
	}
	if p.Serializer == "" {
		return append(state, nil)
	}
	return append(state, p.Serializer)
}

const hmacPrefix = "b64:"

// proxyFromState is __setstate__ of Pyro5/client.py, __setstate_from_dict__ of
// Pyro4/core.py; older ones of the latter have no serializer at the end. A URI that
// would not be read again is refused.
func proxyFromState(v Value, d wire.Dialect) (p Proxy, ok bool) {
	handshake, serializer, least := 4, 5, 6
	if d == wire.V48 {
		handshake, serializer, least = 6, 8, 8
	}
	state, ok := sequence(v)
	if !ok || len(state) < least {
		return Proxy{}, false
	}
	text, ok := Text(state[0])
	if !ok {
		return Proxy{}, false
	}
	var err error
	if p.URI, err = ParseURI(text); err != nil {
		return Proxy{}, false
	}
	if again, err := ParseURI(p.URI.String()); err != nil || again != p.URI {
		return Proxy{}, false
	}
	for i, to := range []*[]string{&p.Oneway, &p.Methods, &p.Attrs} {
		if *to, ok = Strings(state[1+i]); !ok {
			return Proxy{}, false
		}
		slices.Sort(*to)
		*to = slices.Compact(*to)
	}
	p.Handshake = state[handshake]
	if serializer < len(state) && state[serializer] != nil {
		if p.Serializer, ok = Text(state[serializer]); !ok {
			return Proxy{}, false
		}
	}
	if d == wire.V48 && state[5] != nil {
		key, ok := Text(state[5])
		if !ok || key != "" && !strings.HasPrefix(key, hmacPrefix) {
			return Proxy{}, false
		}
		if p.HMACKey, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(key, hmacPrefix)); err != nil {
			return Proxy{}, false
		}
	}
	return p, true
}
