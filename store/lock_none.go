//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package store

import "io"

// lockFile does nothing: there is no flock. That no two processes use a file is then
// for the operator to see to.
func lockFile(string) (io.Closer, error) { return noLock{}, nil }

type noLock struct{}

func (noLock) Close() error { return nil }

// syncDir does nothing: not every system can open a directory.
func syncDir(string) error { return nil }
