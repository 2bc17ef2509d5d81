package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by release builds: -ldflags "-X main.version=1.2.3".
var version string

// build says which program this is.
type build struct {
	version string // of the release or module, "(devel)" when neither is known
	commit  string // "unknown", or a hash; "+changes" follows where it is not all of the source
}

func currentBuild() build {
	b := build{version: "(devel)", commit: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		b = buildFrom(info)
	}
	if version != "" {
		b.version = version
	}
	return b
}

func buildFrom(info *debug.BuildInfo) build {
	b := build{version: "(devel)", commit: "unknown"}
	if info.Main.Version != "" {
		b.version = info.Main.Version
	}
	var changes string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changes = "+changes"
		}
	}
	b.commit += changes
	return b
}

func (p *process) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  `Print the version, the commit it was built from, and the Go version that built it.`,
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			b := currentBuild()
			_, err := fmt.Fprintf(p.stdout, "pyro-dispatch %s (commit %s, %s, %s/%s)\n", b.version, b.commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
