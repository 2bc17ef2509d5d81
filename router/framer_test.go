package router_test

import (
	"fmt"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// framer collects bytes and says in words which messages they are.
type framer struct {
	bytes []byte
	n     int // messages begun
	left  int64
	last  wire.Head
	heads []wire.Head // of the messages that are complete
}

// write adds b. words are such as "INVOKE, part of INVOKE", begun is how many
// messages begin in b. A header may not be cut: nothing may pass before it has
// been looked at.
func (f *framer) write(b []byte) (words string, begun int, err error) {
	f.bytes = append(f.bytes, b...)
	var parts []string
	for len(b) > 0 {
		form := "%s"
		if f.left == 0 {
			h, err := wire.ParseHead(b)
			if err != nil {
				return "", begun, fmt.Errorf("not a message: %w", err)
			}
			f.last, f.left = h, h.Len()
			f.n++
			begun++
			if f.left > int64(len(b)) {
				form = "part of %s"
			}
		} else if form = "rest of %s"; f.left > int64(len(b)) {
			form = "part of %s"
		}
		n := min(f.left, int64(len(b)))
		b = b[n:]
		f.left -= n
		if f.left == 0 {
			f.heads = append(f.heads, f.last)
		}
		parts = append(parts, fmt.Sprintf(form, f.last.Type))
	}
	return strings.Join(parts, ", "), begun, nil
}
