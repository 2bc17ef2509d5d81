package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestBlobDispatch runs Pyro's example blob-dispatch as it is, its clients and its listeners,
// with its name server and its dispatcher replaced by ours. Where both are Pyro's own, it shows
// what the example does: all the same, but for what it has forgotten after a restart.
func TestBlobDispatch(t *testing.T) {
	withNames(t, func(t *testing.T, lib, kind string) {
		flags := append(keptIn(t.TempDir()), "--topics", topicsObject)
		b := &blobs{names: openNames(t, lib, kind, flags)}
		b.startExamplesOwn(t)
		birds, birdsToo, fish := b.listen(t, "birds"), b.listen(t, "birds"), b.listen(t, "fish")

		client := b.client(t)
		client.send(t, "birds", 5)
		client.send(t, "fish", 3)
		client.send(t, "nobody", 2)
		client.send(t, "birds", 2)
		expect := func(bird, afish int) {
			t.Helper()
			birds.expect(t, bird)
			birdsToo.expect(t, bird)
			fish.expect(t, afish)
			if one, two := birds.blobs(), birdsToo.blobs(); !slices.Equal(one, two) {
				t.Errorf("the listeners of one topic got\n%q and\n%q", one, two)
			}
		}
		expect(7, 3)
		client.leave(t)
		b.atRest(t)

		// In the middle: a client stays, the dispatcher is another.
		stays := b.client(t, "PYRO_MAX_RETRIES=3")
		stays.send(t, "fish", 1)
		expect(7, 4)
		if kind == pyrosOwn {
			b.own.kill(t)
			b.startExamplesOwn(t)
			forgotten := b.client(t)
			forgotten.send(t, "birds", 2)
			forgotten.leave(t)
			expect(7, 4)
			return
		}
		b.restart(t)
		after := b.client(t)
		after.send(t, "birds", 4)
		after.send(t, "fish", 2)
		stays.send(t, "birds", 1)
		expect(12, 6)
		// Who comes later is added to those that were there before.
		birdsThree := b.listen(t, "birds")
		after.send(t, "birds", 1)
		birdsThree.expect(t, 1)
		expect(13, 6)
		after.leave(t)
		stays.leave(t)
		b.atRest(t)
	})
}

// TestBlobDispatchLeavesNothing counts what the dispatcher has open after clients and topics
// came and went.
func TestBlobDispatchLeavesNothing(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			b := &blobs{names: openNames(t, lib, facade, []string{"--topics", topicsObject})}
			l := b.listen(t, "birds")
			round := func() {
				client := b.client(t)
				client.send(t, "birds", 3)
				client.send(t, "nobody", 1)
				client.leave(t)
				b.atRest(t)
			}
			round()
			goroutines := sum(b.d.metrics(t), "go_goroutines")
			pipes, others := b.d.descriptors(t)
			for range 5 {
				round()
			}
			l.expect(t, 18)
			eventually(t, "no goroutine is left", func() bool { return sum(b.d.metrics(t), "go_goroutines") <= goroutines })
			eventually(t, "no descriptor is left", func() bool {
				p, o := b.d.descriptors(t)
				return len(o) <= len(others) && p <= pipes+idlePipes
			})
		})
	}
}

// TestBlobListenerDies has a listener killed: the others get every blob, and its topic is free
// of it at last.
func TestBlobListenerDies(t *testing.T) {
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			forgetting := writeConfig(t, forgetfulTopics)
			b := &blobs{names: openNames(t, lib, facade, []string{"--config", forgetting})}
			lives, dies := b.listen(t, "birds"), b.listen(t, "birds")
			client := b.client(t)
			client.send(t, "birds", 2)
			dies.expect(t, 2)
			dies.kill(t)
			// The example's dispatcher would raise what it got, and so may we; the other listener
			// gets each blob nevertheless. After five in vain its daemon counts as down.
			sent := 2
			for ; sent < 8; sent++ {
				other := b.client(t)
				other.say(t, "birds")
				eventually(t, "the blob was processed, or the client told why not", func() bool {
					return len(other.stdout.linesWith("processed"))+len(other.stdout.linesWith(`{"ended"`)) > 0
				})
			}
			lives.expect(t, sent)
			// It could not be reached for forget_after: its topic has the other alone, and no client
			// hears of it any more.
			awaitTopics(t, b, "birds", 1)
			client.send(t, "birds", 2)
			lives.expect(t, sent+2)
			client.leave(t)
		})
	}
}

// blobs is the example at work.
type blobs struct {
	*names
	own *process // the example's own dispatcher, where there is one
}

func (b *blobs) startExamplesOwn(t *testing.T) {
	t.Helper()
	if b.kind == pyrosOwn {
		b.own = b.run(t, "blob-dispatch/dispatcher", "dispatcher.py")
		b.own.says(t, "Pyro daemon running")
	}
}

// blobListener is a listener of the example.
type blobListener struct{ *process }

// listen starts a listener and waits until it is registered.
func (b *blobs) listen(t *testing.T, topic string) *blobListener {
	t.Helper()
	l := &blobListener{b.run(t, "blob-dispatch/listeners", "main.py", topic)}
	l.says(t, fmt.Sprintf("Listener for topic %s waiting for data.", topic))
	return l
}

// blobs returns what the listener got, each by when it was made.
func (l *blobListener) blobs() []string { return l.stdout.linesWith("    a=42, b=hello world, c=20") }

// expect waits until the listener has got so many blobs, and no more, each of its own class.
func (l *blobListener) expect(t *testing.T, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has got %d blobs", l.name, want), func() bool { return len(l.blobs()) >= want })
	got := l.blobs()
	if classes := len(l.stdout.linesWith("Received custom data (type=<class 'customdata.CustomData'>):")); len(got) != want || classes != want {
		t.Errorf("%s got %d blobs, and the class of %d, want %d of each", l.name, len(got), classes, want)
	}
	if different := slices.Compact(slices.Sorted(slices.Values(got))); len(different) != len(got) {
		t.Errorf("%s got one twice: %q", l.name, got)
	}
}

// blobClient is a client of the example.
type blobClient struct {
	*process
	sent int
}

func (b *blobs) client(t *testing.T, env ...string) *blobClient {
	t.Helper()
	n := *b.names
	n.env = slices.Concat(n.env, env)
	return &blobClient{process: n.run(t, "blob-dispatch/client", "client.py")}
}

// send sends blobs one after another, as each has to be processed before the next.
func (c *blobClient) send(t *testing.T, topic string, blobs int) {
	t.Helper()
	for range blobs {
		c.say(t, topic)
		c.sent++
		eventually(t, fmt.Sprintf("%s has its blob %d for %s processed", c.name, c.sent, topic), func() bool {
			select {
			case <-c.exited:
				t.Fatalf("%s left:\n%s", c.name, tail(c.stdout.String(), 2<<10))
			default:
			}
			return len(c.stdout.linesWith("processed")) == c.sent
		})
	}
}

// leave has the client end by itself.
func (c *blobClient) leave(t *testing.T) {
	t.Helper()
	c.say(t, "")
	if e := ended(t, c.process); e.Exception != "" {
		t.Errorf("%s ended with %+v", c.name, e)
	}
	if printed := c.stdout.String(); strings.Contains(printed, "Traceback") {
		t.Errorf("%s printed\n%s", c.name, printed)
	}
}
