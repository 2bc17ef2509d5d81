package names

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// record is a registration as the store has it, under the key of its name.
type record struct {
	URI      string    `json:"uri"`
	Metadata []string  `json:"metadata,omitempty"`
	Group    string    `json:"group,omitempty"`
	By       string    `json:"by,omitempty"`
	At       time.Time `json:"at"`
}

func encode(r Registration) ([]byte, error) {
	return json.Marshal(record{r.Text(), r.Metadata, r.Group, r.By, r.At})
}

// decode reads what may have been written by another version, or by hand.
func decode(name string, value []byte) (Registration, error) {
	var rec record
	if err := json.Unmarshal(value, &rec); err != nil {
		return Registration{}, err
	}
	uri, err := values.ParseURI(rec.URI)
	if err != nil {
		return Registration{}, err
	}
	return Registration{Name: name, URI: uri, text: rec.URI, Metadata: tags(rec.Metadata), Group: rec.Group,
		Origin: Registered, By: rec.By, At: rec.At}, nil
}

// keyOf makes a name into a key: names may be empty and hold slashes, which not every
// store takes.
func keyOf(name string) string { return "=" + url.QueryEscape(name) }

func nameOf(key string) (string, bool) {
	escaped, ok := strings.CutPrefix(key, "=")
	name, err := url.QueryUnescape(escaped)
	return name, ok && err == nil && keyOf(name) == key
}
