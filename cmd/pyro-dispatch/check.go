package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *process) checkCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file",
		Long: `Check a configuration file without running it. Exits with 0 when run would accept
it, and otherwise with 1 and every problem on standard error, one a line:
FILE:LINE:COLUMN: KEY: what is wrong. Addresses are neither bound nor looked up,
and Consul is not asked.

The other flags and the environment are those of run, and win over the file as
they do there.`,
		Example: `  pyro-dispatch check --config pyro-dispatch.yaml

  # Would it also do in mode call?
  pyro-dispatch check --config pyro-dispatch.yaml --mode call`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.readEnv(cmd.Flags(), p.lookupEnv); err != nil {
				return err
			}
			if s.config == "" {
				return usagef("which file? give --config FILE")
			}
			c, err := s.load(cmd, p.lookupEnv)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "%s: ok (%s, %s, %s)\n", s.config,
				count(len(c.Listeners), "listener"), count(len(c.Routes), "route"), count(len(c.Clusters), "cluster"))
			return err
		},
	}
	s.addTo(cmd.Flags())
	return cmd
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
