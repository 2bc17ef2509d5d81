//go:build !unix

package backend

func (c *Conn) look(uintptr) {}

// alive reports whether an idle connection can be used, as far as its Reader
// has noticed.
func (c *Conn) alive() bool { return !c.dead }
