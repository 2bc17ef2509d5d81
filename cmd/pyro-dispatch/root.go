package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// rootCommand builds the command tree. docs/cli.md is generated from it.
func (p *process) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "pyro-dispatch",
		Short: "Pass calls of Pyro4 and Pyro5 clients to the daemons that serve them",
		Long: `pyro-dispatch stands between Pyro clients and Pyro daemons. Clients connect to it
as to a daemon, and it passes their calls, unchanged, to one of the daemons that
its routes name. Pyro4 and Pyro5 share a port. Neither side needs to be changed.`,
		Example: `  # Everything that reaches port 9999 goes to two daemons in turn.
  pyro-dispatch run --listen :9999 --backend 10.0.0.1:5555 --backend 10.0.0.2:5555

  # The daemons are instances of a service in Consul.
  pyro-dispatch run --listen :9999 --consul-service pyro-cameras

  # A configuration file can say more: routes by object, limits, timeouts.
  pyro-dispatch check --config pyro-dispatch.yaml
  pyro-dispatch run --config pyro-dispatch.yaml`,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true, // process.main tells them
		SilenceUsage:  true, // a page of help would hide the error

		SuggestionsMinimumDistance: 2,

		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(p.runCommand(), p.checkCommand(), p.versionCommand())
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Args = aCommand
		}
	}
	return root
}

// aCommand refuses help about what is no command; cobra would exit with 0.
func aCommand(cmd *cobra.Command, args []string) error {
	if found, _, err := cmd.Root().Find(args); err != nil || found == cmd.Root() && len(args) > 0 {
		return usagef("there is no command %q", strings.Join(args, " "))
	}
	return nil
}

// noCommand is reached with arguments only where the first is no command.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var hint string
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = fmt.Sprintf(" (did you mean %s?)", strings.Join(similar, " or "))
	}
	return usagef("there is no command %q%s", args[0], hint)
}

// noArgs refuses what is neither a flag nor its value.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}
