package config

import (
	"path/filepath"
	"strings"
)

// StorageChoice is what the file says of where something is kept.
type StorageChoice struct {
	// `memory`: a restart forgets everything. `file`: a file of this process.
	// `consul`: Consul's key-value store, which dispatchers share. This key's value
	// alone may stand in place of the mapping. Without it, the other keys tell, and
	// without those, `consul` where Consul is used for anything or `consul.address`
	// given, `file` where there is a `state_dir`, and otherwise `memory`.
	Kind StorageKind `yaml:"kind,short"`
	// The file. Its directory must be there. Without it, one in `state_dir`.
	File string `yaml:"file"`
	// What the keys in Consul begin with. Without it, `pyro-dispatch/` and
	// `names` or `topics`.
	Consul string `yaml:"consul"`
}

// StorageKind is a kind of storage.
type StorageKind string

// The kinds.
const (
	StorageMemory StorageKind = "memory"
	StorageFile   StorageKind = "file"
	StorageConsul StorageKind = "consul"
)

// UnmarshalText accepts exactly the kinds above, and an empty text for none.
func (k *StorageKind) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*k = ""
		return nil
	}
	return oneOf(k, text, "a storage", StorageMemory, StorageFile, StorageConsul)
}

// Storage is where something is kept.
type Storage struct {
	Kind   StorageKind
	Path   string // of StorageFile
	Prefix string // of StorageConsul, without a slash at its end
}

// keysPrefix is what our keys in Consul begin with where nothing else is said.
const keysPrefix = "pyro-dispatch/"

// NamesStorage returns where the names of the name server are kept.
func (c *Config) NamesStorage() Storage { return c.storage(c.NameServer.Storage, "names") }

// TopicsStorage returns where the listeners of the topics are kept.
func (c *Config) TopicsStorage() Storage { return c.storage(c.Topics.Storage, "topics") }

// PortsStorage returns where it is kept which endpoint or name has which port.
func (c *Config) PortsStorage() Storage { return c.storage(StorageChoice{}, "ports") }

func (c *Config) storage(s StorageChoice, of string) Storage {
	kind := s.Kind
	switch {
	case kind != "":
	case s.File != "":
		kind = StorageFile
	case s.Consul != "":
		kind = StorageConsul
	case c.knowsConsul():
		kind = StorageConsul
	case c.StateDir != "":
		kind = StorageFile
	default:
		kind = StorageMemory
	}
	storage := Storage{Kind: kind}
	switch kind {
	case StorageFile:
		if storage.Path = s.File; s.File == "" {
			storage.Path = filepath.Join(c.StateDir, of+".json")
		}
	case StorageConsul:
		if storage.Prefix = strings.Trim(s.Consul, "/"); storage.Prefix == "" {
			storage.Prefix = keysPrefix + of
		}
	}
	return storage
}

// knowsConsul reports whether there is a Consul to keep things in.
func (c *Config) knowsConsul() bool { return c.Given("consul.address") || c.asksConsul() }

// needsPorts reports whether something gives out ports that are to be remembered.
func (c *Config) needsPorts() bool {
	if c.NameServer.Enabled() && !c.NameServer.Ports.IsZero() {
		return true
	}
	for i := range c.Clusters {
		if c.Clusters[i].Expose == ExposePerEndpoint {
			return true
		}
	}
	return false
}
