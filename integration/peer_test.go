package integration

import (
	"fmt"
	"testing"
)

// peer is a Pyro program that a test steers, client and daemon at once: py/peer.py.
type peer struct {
	*proxy
}

// startPeer starts one, in a network of its own or the test's.
func startPeer(t *testing.T, env []string, ns *namespace, flags ...string) *peer {
	t.Helper()
	cmd := ns.command(python, append([]string{"py/peer.py"}, flags...)...)
	cmd.Env = env
	p := startProcess(t, fmt.Sprint("peer ", flags), cmd, nil)
	r := &remote{process: p, answers: map[int]chan answer{}}
	go r.dispatch()
	return &peer{&proxy{r: r, name: "peer"}}
}

// try runs a command of peer.py.
func (p *peer) try(t *testing.T, op string, args ...any) answer {
	t.Helper()
	return p.do(t, op, map[string]any{"args": append([]any{}, args...)}).wait(t)
}

// call runs a command that has to succeed, and returns its value.
func (p *peer) call(t *testing.T, op string, args ...any) any {
	t.Helper()
	return p.do(t, op, map[string]any{"args": append([]any{}, args...)}).value(t)
}

// end has the program leave before its test does.
func (p *peer) end(t *testing.T) {
	t.Helper()
	_ = p.r.stdin.Close()
	p.r.exitCode(t)
}
