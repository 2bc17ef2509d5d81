package topics

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Listener is one that gets the blobs of a topic. It is comparable.
type Listener struct {
	Topic            Topic
	Object           string // its id at its daemon
	Network, Address string // "tcp" and host:port, where host may be a name; or "unix" and a path
	Dialect          wire.Dialect
	Registered       time.Time // first, in UTC
}

// URI is where it is, as Pyro writes it.
func (l Listener) URI() string { return "PYRO:" + l.place() }

// spot is where a listener is, for whatever topic.
type spot struct{ object, network, address string }

func (l Listener) spot() spot { return spot{l.Object, l.Network, l.Address} }

func (l Listener) place() string {
	if l.Network == "unix" {
		return l.Object + "@./u:" + l.Address
	}
	return l.Object + "@" + l.Address
}

// key is the listener's in the store. There is no space in the part behind the topic,
// so no two have the same.
func (l Listener) key() string {
	kind := "text "
	if l.Topic.Number {
		kind = "number "
	}
	return kind + l.Topic.Text + " " + l.place()
}

// record is what the store keeps of a listener.
type record struct {
	Topic   string       `json:"topic"`
	Number  bool         `json:"number,omitempty"`
	Object  string       `json:"object"`
	Network string       `json:"network"`
	Address string       `json:"address"`
	Dialect wire.Dialect `json:"dialect"`
	// Registered is when it registered first; Seen, when it registered last or was
	// last known to be there; Renewals, how often it registered again, so that each
	// time is a change, which who wants to remove it notices.
	Registered time.Time `json:"registered"`
	Seen       time.Time `json:"seen"`
	Renewals   uint64    `json:"renewals,omitempty"`
}

func (r record) listener() Listener {
	return Listener{
		Topic:  Topic{Number: r.Number, Text: r.Topic},
		Object: r.Object, Network: r.Network, Address: r.Address,
		Dialect: r.Dialect, Registered: r.Registered,
	}
}

func newRecord(l Listener) record {
	return record{
		Topic: l.Topic.Text, Number: l.Topic.Number,
		Object: l.Object, Network: l.Network, Address: l.Address,
		Dialect: l.Dialect, Registered: l.Registered, Seen: l.Registered,
	}
}

func (r record) bytes() []byte {
	data, err := json.Marshal(r)
	if err != nil { // a year beyond 9999
		panic(err)
	}
	return data
}

// held is a record as the store has it.
type held struct {
	record
	version uint64
}

// read reads an entry of the store. Others may write there, so it accepts nothing that
// could not have been registered.
func read(key string, e store.Entry) (held, error) {
	h := held{version: e.Version}
	if err := json.Unmarshal(e.Value, &h.record); err != nil {
		return held{}, err
	}
	l := h.listener()
	var topic values.Value = h.Topic
	if h.Number {
		topic = l.Topic.Value()
	}
	if t, err := TopicOf(topic); err != nil || t != l.Topic {
		return held{}, fmt.Errorf("it has no such topic: %s", clip(h.Topic))
	}
	object, network, address, err := listenerOf(l.URI())
	if err != nil {
		return held{}, err
	}
	if object != h.Object || network != h.Network || address != h.Address || key != l.key() {
		return held{}, errors.New("it is not that of its key")
	}
	if h.Dialect != wire.V48 && h.Dialect != wire.V502 {
		return held{}, errors.New("it has no dialect")
	}
	h.Registered, h.Seen = h.Registered.UTC(), h.Seen.UTC()
	return h, nil
}

// snapshot is what is known at one time. It is never changed, but for the times.
type snapshot struct {
	byTopic    map[Topic][]Listener
	all        []Listener
	generation uint64
	// confirmed is when a listener was last known to be there, in nanoseconds of Unix
	// time; 0 is never. Snapshots share them.
	confirmed map[spot]*atomic.Int64
}

// newSnapshot puts listeners in the order of their registration.
func newSnapshot(known map[string]held, show func(Listener) bool) *snapshot {
	keys := make([]string, 0, len(known))
	for key, h := range known {
		if show(h.listener()) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(known[a].Registered.Compare(known[b].Registered), cmp.Compare(a, b))
	})
	s := &snapshot{byTopic: make(map[Topic][]Listener), all: make([]Listener, 0, len(keys))}
	for _, key := range keys {
		h := known[key]
		l := h.listener()
		s.all = append(s.all, l)
		s.byTopic[l.Topic] = append(s.byTopic[l.Topic], l)
	}
	return s
}

// showable leaves out listeners of the store that may not be there, says this
// dispatcher's configuration. Of a name only Resolve can tell.
func (r *Registry) showable(l Listener) bool {
	if l.Network == "unix" {
		return r.config.AllowUnix
	}
	ap, err := netip.ParseAddrPort(l.Address)
	return err != nil || r.allowed(ap.Addr())
}
