package relay_test

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

// bystander is a well-behaved client that goes on calling while others behave
// badly.
type bystander struct {
	r     *rig
	calls atomic.Int64
	stop  chan struct{}
	done  chan error
}

// bystander starts one. Its end must be called.
func (r *rig) bystander(c pyrotest.Client) *bystander {
	r.Helper()
	b := &bystander{r: r, stop: make(chan struct{}), done: make(chan error, 1)}
	client := r.connect(c)
	go func() {
		ticker := time.NewTicker(r.pace()) // in a bubble, time passes only while all wait
		defer ticker.Stop()
		for {
			select {
			case <-b.stop:
				b.done <- client.Close()
				return
			case <-ticker.C:
			}
			data := pyrotest.CallData(fmt.Sprintf("bystander %d", b.calls.Load()), 2000)
			reply, err := client.Call(data)
			switch {
			case err == nil && !bytes.Equal(reply.Data, data):
				err = fmt.Errorf("got %d bytes that are not what was sent", len(reply.Data))
				fallthrough
			case err != nil:
				b.done <- fmt.Errorf("call %d: %w", b.calls.Load(), err)
				return
			}
			b.calls.Add(1)
		}
	}()
	b.progress()
	return b
}

// progress waits until calls have been made that began after now.
func (b *bystander) progress() {
	b.r.Helper()
	until := b.calls.Load() + 5
	pyrotest.WaitFor(b.r, "the bystander goes on", func() bool {
		select {
		case err := <-b.done:
			b.r.Fatalf("the bystander has stopped: %v", err)
		default:
		}
		return b.calls.Load() >= until
	})
}

// end stops the bystander, which must not have noticed anything.
func (b *bystander) end() {
	b.r.Helper()
	b.progress()
	close(b.stop)
	if err := <-b.done; err != nil {
		b.r.Errorf("the bystander: %v", err)
	}
}
