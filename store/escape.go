package store

import (
	"fmt"
	"strings"
)

// Consul's keys are paths of URLs on their way: its HTTP server unescapes them twice,
// cleans them of "//" and "..", and its own UI takes what is between slashes for
// folders. So in place of a byte that is not harmless there stands "=" and its value
// in hex. Dots and slashes are harmless between letters and digits.

// escape gives the key in Consul. Different keys have different ones.
func escape(key string) string {
	if key == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(key) {
		switch c := key[i]; {
		case alphanumeric(c), c == '-', c == '_',
			(c == '.' || c == '/') && i > 0 && i+1 < len(key) && alphanumeric(key[i-1]) && alphanumeric(key[i+1]):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String()
}

// unescape is the inverse. It refuses what escape does not write, so that no two keys
// in Consul are one here.
func unescape(escaped string) (string, bool) {
	if escaped == "=" {
		return "", true
	}
	key := make([]byte, 0, len(escaped))
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '=' {
			if i+2 >= len(escaped) {
				return "", false
			}
			c = hex(escaped[i+1])<<4 | hex(escaped[i+2])
			i += 2
		}
		key = append(key, c)
	}
	return string(key), len(key) > 0 && escape(string(key)) == escaped
}

// hex is the value of a digit. That of anything else is never written by escape.
func hex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
