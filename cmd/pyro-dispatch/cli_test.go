package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// TestReference keeps docs/cli.md equal to the commands and their flags.
// "go test ./cmd/pyro-dispatch -update" rewrites the page.
func TestReference(t *testing.T) {
	pyrotest.Golden(t, "../../docs/cli.md", reference((&process{}).rootCommand()), *update)
}

func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Command line\n\n<!-- Generated from the commands by \"go test ./cmd/pyro-dispatch -update\": edit them, not this page. -->\n\n")
	fmt.Fprintf(&b, "%s\n\n%s\n", root.Long, fenced("sh", root.Example))
	b.WriteString("| command | does |\n|---|---|\n")
	var commands []*cobra.Command
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			commands = append(commands, c)
			fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), c.Short)
		}
	}
	fmt.Fprintf(&b, "\n`%s help COMMAND` and `--help` explain a command.\n\n", root.Name())
	b.WriteString(`A flag wins over its environment variable, which wins over the configuration file. An empty variable is as good as
none, except for ` + "`" + envName("admin") + "`" + `, where it turns the admin server off.

| exit code | means |
|---|---|
`)
	for _, code := range []struct {
		code  int
		means string
	}{
		{exitOK, "done; for `run`, drained after a signal"},
		{exitFailure, "it could not start or go on, or the configuration is bad"},
		{exitUsage, "the command line or an environment variable is wrong"},
		{130, "ended at once by a second signal, SIGINT"},
		{143, "ended at once by a second signal, SIGTERM"},
	} {
		fmt.Fprintf(&b, "| %d | %s |\n", code.code, code.means)
	}
	for _, c := range commands {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", c.CommandPath(), c.Long)
		if c.Flags().HasFlags() {
			b.WriteString("\n| flag | environment | meaning |\n|---|---|---|\n")
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !hasEnv(f) {
				return
			}
			name, usage := pflag.UnquoteUsage(f)
			fmt.Fprintf(&b, "| `--%s %s` | `%s` | %s |\n", f.Name, name, envName(f.Name), usage)
		})
		if c.Example != "" {
			fmt.Fprintf(&b, "\n%s", fenced("sh", c.Example))
		}
	}
	return b.String()
}

// fenced returns an example as a block of code, without its indentation.
func fenced(language, example string) string {
	lines := strings.Split(example, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return "```" + language + "\n" + strings.Join(lines, "\n") + "\n```\n"
}
