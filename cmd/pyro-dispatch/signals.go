package main

import (
	"context"
	"os"
	"syscall"

	"go.uber.org/zap"
)

// untilSignal returns a context that the first signal cancels. The second
// signal ends the process, with the exit code that a shell gives to a program
// killed by it. stop ends the watching.
//
// Only run watches: a signal ends the other commands, and run while it still
// reads its configuration, as it does any program.
func (p *process) untilSignal(log *zap.Logger) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2) // room for both that count: the sender does not wait
	p.notify(signals)
	stopped := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		p.watch(signals, cancel, stopped, log)
	}()
	return ctx, func() {
		close(stopped)
		<-finished
		cancel()
	}
}

func (p *process) watch(signals <-chan os.Signal, cancel func(), stopped <-chan struct{}, log *zap.Logger) {
	select {
	case s := <-signals:
		log.Info("stopping: another signal ends the process at once", zap.Stringer("signal", s))
		cancel()
	case <-stopped:
		return
	}
	select {
	case s := <-signals:
		log.Warn("ending at once", zap.Stringer("signal", s))
		_ = log.Sync()
		p.exit(killedBy(s))
	case <-stopped:
	}
}

// killedBy returns the exit code for a signal: 130 for SIGINT, 143 for SIGTERM.
func killedBy(s os.Signal) int {
	if number, ok := s.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return exitFailure
}
