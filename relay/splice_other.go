//go:build !linux

package relay

import "errors"

const canSplice = false

func splice(_, _ *link, _ int64, _ func(int64)) (readErr, writeErr error) {
	return errors.ErrUnsupported, nil
}
