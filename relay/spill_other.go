//go:build !linux

package relay

import (
	"errors"
	"os"
	"time"
)

func createUnlinked(dir string) (*os.File, error) { return createRemoved(dir) }

func (f *spilled) sendFile(*link, *os.File, time.Duration) (int64, error) {
	return 0, errors.ErrUnsupported
}

func (f *spilled) fill(pipe, *link, *os.File, int64, func(int64) bool) (wanted bool, readErr, err error) {
	return true, errors.ErrUnsupported, nil
}

func (pipe) close() {}

func givePipe(pipe) {}
