//go:build !linux

package relay

import "errors"

// lot: sessions are parked on Linux only.
type lot struct{}

func newLot() *lot { return nil }

func (*lot) close()            {}
func (*lot) add(*driver) error { return errors.ErrUnsupported }
func (*lot) remove(*driver)    {}
