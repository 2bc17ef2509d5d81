//go:build unix && !linux

package backend

import "golang.org/x/sys/unix"

// poll looks at p without waiting.
func poll(p *unix.PollFd) (int, error) { return unix.Poll([]unix.PollFd{*p}, 0) }
