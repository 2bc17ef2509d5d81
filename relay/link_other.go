//go:build !linux

package relay

import "syscall"

const eagain = syscall.EAGAIN

// open: raw access is used on Linux only.
func (l *link) open() {}

func (l *link) acknowledge() {}

func (l *link) broken() bool { return false }

func (l *link) writable(uintptr) bool { return true }

type received struct {
	n           int
	errno       syscall.Errno
	more, known bool
}

func receive(uintptr, []byte, bool) received { panic("relay: raw receive on a plain connection") }
