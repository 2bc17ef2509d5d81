package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// keys are the HMAC keys that the configuration names, by their files.
type keys map[string]wire.Key

// maxKey is how long a key may be, in bytes: a longer file is hardly meant.
const maxKey = 4 << 10

// readKeys reads all of them.
func readKeys(cfg *config.Config) (keys, error) {
	k := make(keys)
	var problems []error
	read := func(of, file string) {
		if file == "" || k[file] != nil {
			return
		}
		key, err := readKey(file)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: hmac_key_file: %w", of, err))
		}
		k[file] = key
	}
	for i := range cfg.Listeners {
		read("listener "+cfg.Listeners[i].Name, cfg.Listeners[i].HMACKeyFile)
	}
	for i := range cfg.Clusters {
		c := &cfg.Clusters[i]
		read("cluster "+c.Name, c.HMACKeyFile)
		read("cluster "+c.Name+": name_server", c.NameServer.HMACKeyFile)
	}
	read("topics", cfg.Topics.HMACKeyFile)
	read("name_server", cfg.NameServer.HMACKeyFile)
	read("name_server: upstream", cfg.NameServer.Upstream.HMACKeyFile)
	return k, errors.Join(problems...)
}

// readKey reads a key: the bytes of the file, without the newline at their end that
// editors leave there.
func readKey(file string) (wire.Key, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if cut, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		b = bytes.TrimSuffix(cut, []byte("\r"))
	}
	switch {
	case len(b) == 0:
		return nil, fmt.Errorf("%s is empty", file)
	case len(b) > maxKey:
		return nil, fmt.Errorf("%s has %d bytes: a key has at most %d", file, len(b), maxKey)
	}
	return b, nil
}
