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
--listen with --backend or --consul-service is a complete proxy, without a file,
and with --nameserver or --topics it is a name server, or a dispatcher of blobs.
Otherwise give --config; the other flags win over what the file says. Those for
all clusters, and --mode, do not reach what consul.discover finds. --timeout,
--timeout-error, --circular and --correlation do, but for the timeout of a service
that has one in its meta, as pyro-timeout.

Every flag has an environment form, which wins over the file and gives way to
the flag: DISPATCH_LOG_LEVEL is that of --log-level. DISPATCH_LISTEN,
DISPATCH_BACKEND, DISPATCH_CONSUL_SERVICE and DISPATCH_NAMESERVER take several
values, separated by commas.

Where something comes from Consul, and neither the file nor a flag says how to
reach it, three variables of Consul's own tools count: CONSUL_HTTP_ADDR,
CONSUL_HTTP_TOKEN_FILE and, where that is not set, CONSUL_HTTP_TOKEN. Other
variables of theirs do not.

PYRO_COMMTIMEOUT, in seconds as Pyro reads it, counts as the timeout of calls where
neither --timeout nor the file's defaults.timeout is given. The OTEL_ variables of
OpenTelemetry turn tracing on, and say where spans go.`,
		Example: `  # A proxy for one daemon.
  pyro-dispatch run --listen :9999 --backend 10.0.0.1:5555

  # The same, configured by the environment, with a log for people.
  DISPATCH_LISTEN=:9999 DISPATCH_BACKEND=10.0.0.1:5555 pyro-dispatch run --log-format console

  # Calls of any number of clients, over 16 connections to each daemon that
  # Consul knows.
  pyro-dispatch run --listen :9999 --consul-service pyro-cameras --mode call --max-connections 16

  # In place of Pyro's name server, and of the dispatcher of its example blob-dispatch.
  pyro-dispatch run --listen :9999 --nameserver :9090 --topics example.blobdispatcher

  # As the file says, but without the admin server.
  pyro-dispatch run --config pyro-dispatch.yaml --admin=`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.readEnv(cmd.Flags(), p.lookupEnv); err != nil {
				return err
			}
			cfg, err := s.load(cmd, p.lookupEnv)
			if err != nil {
				return err
			}
			log := newLogger(cfg.Log, p.stderr)
			defer func() { _ = log.Sync() }() // of no use for a terminal, which says so
			if s.commTimeout {
				log.Info("timeout of calls taken from "+commTimeoutEnv, zap.Duration("timeout", cfg.Defaults.Timeout))
			}
			ctx, stop := p.untilSignal(log)
			defer stop()
			return p.serve(ctx, cfg, log, currentBuild().version)
		},
	}
	s.addTo(cmd.Flags())
	return cmd
}
