package relay

import "context"

// What the client's goroutine waits for besides its connection: that the session
// takes more of what is kept, or that there is memory for it.

// token lets the client's goroutine show its bytes again.
func (d *driver) token() {
	d.mu.Lock()
	c := d.resumeLocked()
	d.mu.Unlock()
	select {
	case c <- struct{}{}:
	default:
	}
}

func (d *driver) resumeLocked() chan struct{} {
	if d.resume == nil {
		d.resume = make(chan struct{}, 1)
	}
	return d.resume
}

// waitResume blocks until a Resume, or the end of the session.
func (d *driver) waitResume() {
	d.mu.Lock()
	resume, ended := d.resumeLocked(), d.endedLocked()
	d.paused = true
	d.mu.Unlock()
	select {
	case <-resume:
	case <-ended:
	}
	d.mu.Lock()
	d.paused = false
	d.mu.Unlock()
}

// endedLocked gives a channel that is closed when the session is over.
func (d *driver) endedLocked() chan struct{} {
	if d.ended == nil {
		d.ended = make(chan struct{})
		if d.over {
			close(d.ended)
		}
	}
	return d.ended
}

// waitMemory blocks until account has room for n bytes, and takes them. It fails
// when the session is over.
func (d *driver) waitMemory(account *memory, n int) error {
	d.mu.Lock()
	ended := d.endedLocked()
	d.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return account.take(ctx, n)
}
