package main

import (
	"context"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// serveFunc is the dispatcher: see serve.
type serveFunc func(ctx context.Context, cfg *config.Config, log *zap.Logger, version string) error

func (p *process) runCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the dispatcher",
		Long: `Run the dispatcher until SIGTERM or SIGINT. It then accepts no more clients, lets
calls in flight finish for as long as drain_timeout allows, and exits with 0. A
second signal ends it at once.

An ADDR is host:port, [::1]:port, :port for every local address, or unix:/path.
--listen with --backend is a complete proxy, without a file. Otherwise give
--config; the other flags win over what the file says.

Every flag has an environment form, which wins over the file and gives way to
the flag: DISPATCH_LOG_LEVEL is that of --log-level. DISPATCH_LISTEN and
DISPATCH_BACKEND take several values, separated by commas.`,
		Example: `  # A proxy for one daemon.
  pyro-dispatch run --listen :9999 --backend 10.0.0.1:5555

  # The same, configured by the environment, with a log for people.
  DISPATCH_LISTEN=:9999 DISPATCH_BACKEND=10.0.0.1:5555 pyro-dispatch run --log-format console

  # As the file says, but without the admin server.
  pyro-dispatch run --config pyro-dispatch.yaml --admin=`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.readEnv(cmd.Flags(), p.lookupEnv); err != nil {
				return err
			}
			cfg, err := s.load(cmd)
			if err != nil {
				return err
			}
			log := newLogger(cfg.Log, p.stderr)
			defer func() { _ = log.Sync() }() // of no use for a terminal, which says so
			ctx, stop := p.untilSignal(log)
			defer stop()
			return p.serve(ctx, cfg, log, currentBuild().version)
		},
	}
	s.addAll(cmd.Flags())
	return cmd
}
