package expose

import (
	"encoding/json"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/store"
)

// In the store, key/KEY says which port a key has, and port/PORT whose a port is. A
// key has its port if both say so. The port is claimed first, and given up last: what
// is there of a port alone is an allocation, or its end, that was interrupted.
const (
	keyPrefix  = "key/"
	portPrefix = "port/"
)

func keyName(key string) string { return keyPrefix + key }
func portName(port int) string  { return portPrefix + strconv.Itoa(port) }

// holding is the value of key/KEY.
type holding struct {
	Port  int       `json:"port"`
	Since time.Time `json:"since"`
	Used  time.Time `json:"used"` // when somebody had a use for it, roughly

	version uint64
}

// claim is the value of port/PORT.
type claim struct {
	Key string    `json:"key"`
	At  time.Time `json:"at"`
	// Nonce makes a claim that is made again another value with another version: who
	// is about to remove the old one then cannot.
	Nonce uint64 `json:"nonce"`

	version uint64
}

// readHolding reads key/KEY. What makes no sense is a holding of no port.
func readHolding(e store.Entry) holding {
	var h holding
	if e.Version != 0 && json.Unmarshal(e.Value, &h) != nil {
		h = holding{}
	}
	h.version = e.Version
	return h
}

// readClaim reads port/PORT. What makes no sense is a claim of nobody's.
func readClaim(e store.Entry) claim {
	var c claim
	if e.Version != 0 && json.Unmarshal(e.Value, &c) != nil {
		c = claim{}
	}
	c.version = e.Version
	return c
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // of strings, numbers and times of this age
	}
	return data
}

// view is what is known of the store.
type view struct {
	holdings map[string]holding
	claims   map[int]claim
}

func newView(all map[string]store.Entry) view {
	v := view{holdings: make(map[string]holding), claims: make(map[int]claim)}
	for name, e := range all {
		if key, ok := strings.CutPrefix(name, keyPrefix); ok {
			v.holdings[key] = readHolding(e)
		} else if text, ok := strings.CutPrefix(name, portPrefix); ok {
			if port, err := strconv.Atoi(text); err == nil && portName(port) == name {
				v.claims[port] = readClaim(e)
			}
		}
	}
	return v
}

// port is the port that a key has, or 0.
func (v view) port(key string) int {
	h := v.holdings[key]
	if h.Port == 0 || v.claims[h.Port].version == 0 || v.claims[h.Port].Key != key {
		return 0
	}
	return h.Port
}

// choose gives the port that a key should claim: one that it has claimed already, or
// else the first that is free, beginning where its hash points, so that dispatchers
// without a common store choose alike as long as no two keys collide. The hash is 64
// bit FNV-1a, for ever: it decides what URIs say. It gives 0 if none is free.
func (v view) choose(key string, first, last int) int {
	for port, c := range v.claims {
		if c.Key == key && first <= port && port <= last {
			return port
		}
	}
	h := fnv.New64a()
	h.Write([]byte(key))
	n := last - first + 1
	start := int(h.Sum64() % uint64(n))
	for i := range n {
		port := first + (start+i)%n
		if v.claims[port].version == 0 {
			return port
		}
	}
	return 0
}
