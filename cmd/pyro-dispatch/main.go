// Command pyro-dispatch is a transparent dispatcher for Pyro4 and Pyro5: clients
// connect to it, and it passes their calls to the daemons that its routes name.
//
// This package is the process around the dispatcher: the command line, the
// environment, logging and signals. What a call is and where it goes is decided
// in the other packages; serve.go puts them together.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// The exit codes, beside those of signals.go.
const (
	exitOK      = 0
	exitFailure = 1 // it could not start or go on, or the configuration is bad
	exitUsage   = 2 // the command line or an environment variable is wrong
)

// process is what the commands need of the process they run in, so that tests
// can run them in another.
type process struct {
	stdout, stderr io.Writer
	lookupEnv      func(string) (string, bool)
	notify         func(chan<- os.Signal) // relays SIGINT and SIGTERM from now on
	exit           func(code int)         // ends the process at once
	serve          serveFunc
}

func main() {
	os.Exit(thisProcess(serve).main(os.Args[1:]))
}

func thisProcess(serve serveFunc) *process {
	return &process{
		stdout: os.Stdout, stderr: os.Stderr,
		lookupEnv: os.LookupEnv,
		notify:    func(c chan<- os.Signal) { signal.Notify(c, syscall.SIGINT, syscall.SIGTERM) },
		exit:      os.Exit,
		serve:     serve,
	}
}

// main runs one command line and returns its exit code. All that goes wrong is
// told on standard error here and nowhere else.
func (p *process) main(args []string) int {
	root := p.rootCommand()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	command, err := root.ExecuteC()
	var usage *usageError
	var problems config.Problems
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(p.stderr, "%s: %v\nRun '%s --help' for what can be given.\n", root.Name(), err, command.CommandPath())
		return exitUsage
	case errors.As(err, &problems):
		// They name their own place, in a form that editors can follow.
		fmt.Fprintln(p.stderr, problems)
		return exitFailure
	default:
		fmt.Fprintf(p.stderr, "%s: %v\n", root.Name(), err)
		return exitFailure
	}
}

// usageError is a mistake in how the program was called.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}
