package expose

import (
	"context"
	"errors"
	"net"
)

// ErrNotWanted: nobody wants the port open.
var ErrNotWanted = errors.New("the port is not wanted")

// Await waits until a key's port is open, or why it is not is known: that is the error.
// It is ErrNotWanted, ctx's, or that of the last attempt.
func (l *Listeners) Await(ctx context.Context, key string, port int) error {
	for {
		l.mu.Lock()
		wanted, open, f, news := l.want[key] == port, l.ready[key] == port, l.failed[key], l.news
		l.mu.Unlock()
		switch {
		case !wanted:
			return ErrNotWanted
		case open:
			return nil
		case f != nil && f.Port == port:
			return f.Err
		}
		select {
		case <-news:
		case <-l.ended:
			return net.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tell wakes who waits. The lock is held.
func (l *Listeners) tell() {
	close(l.news)
	l.news = make(chan struct{})
}
