package config

// keys checks the names of the files with HMAC keys. Whether they can be read is for
// those who read them.
func (v *validator) keys() {
	for i := range v.Listeners {
		v.key(index("listeners", i), v.Listeners[i].HMACKeyFile, 0)
	}
	for i := range v.Clusters {
		c := &v.Clusters[i]
		path := index("clusters", i)
		v.key(path, c.HMACKeyFile, c.Dialect)
		v.key(join(path, "name_server"), c.NameServer.HMACKeyFile, c.NameServer.Dialect)
	}
	v.key("topics", v.Topics.HMACKeyFile, 0)
	v.key("name_server", v.NameServer.HMACKeyFile, 0)
	v.key(join("name_server", "upstream"), v.NameServer.Upstream.HMACKeyFile, v.NameServer.Upstream.Dialect)
}

// key checks the file of one, for peers of that dialect, if it is known.
func (v *validator) key(path, file string, d Dialect) {
	path = join(path, "hmac_key_file")
	v.text(path, "the name of a file", file)
	if file != "" && d == Pyro5 {
		v.problem(path, "is given for %s, which has no signatures", d)
	}
}
