//go:build !linux

package relay

import (
	"context"
	"errors"
	"time"
)

const parkAfter = time.Second

// lot: sessions are parked on Linux only.
type lot struct{}

func newLot() *lot { return nil }

func (*lot) run(context.Context) {}
func (*lot) add(*driver) error   { return errors.ErrUnsupported }
func (*lot) remove(*driver)      {}
