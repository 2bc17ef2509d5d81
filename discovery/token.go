package discovery

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// tokens knows the ACL token of the moment.
type tokens struct {
	file  string
	fixed string

	mu   sync.Mutex
	last string // that the file held
}

// current returns the token to send, or "" for none. An error means that there
// must be one, and is not: to ask as nobody would get an answer without members.
func (t *tokens) current() (string, error) {
	if t.file == "" {
		return t.fixed, nil
	}
	data, err := os.ReadFile(t.file)
	token := strings.TrimSpace(string(data))
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil && token != "":
		t.last = token
		return token, nil
	case t.last != "":
		return t.last, nil
	case t.fixed != "":
		return t.fixed, nil
	case err != nil:
		return "", fmt.Errorf("%w: %w", errToken, err)
	}
	return "", fmt.Errorf("%w: %s is empty", errToken, t.file)
}

// anonymous reports whether requests carry no token.
func (t *tokens) anonymous() bool {
	token, err := t.current()
	return err == nil && token == ""
}
