package relay

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/semaphore"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
)

func newTestMemory(limit int64) (m *memory, inUse func() float64) {
	set := metrics.New(metrics.Build{})
	set.Registry.Unregister(collectors.NewGoCollector()) // slow to gather
	set.Registry.Unregister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	inUse = func() float64 {
		families, err := set.Registry.Gather()
		if err != nil {
			panic(err)
		}
		for _, f := range families {
			if f.GetName() == "pyro_dispatch_buffer_memory_bytes" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return -1
	}
	return &memory{account: semaphore.NewWeighted(limit), metrics: set.Buffer()}, inUse
}

// read puts bytes into the buffer, as many as it has room for.
func read(k *buffer, b []byte) int {
	n := copy(k.room(), b)
	k.filled(n)
	return n
}

func TestBufferKeepsWhatIsNotConsumed(t *testing.T) {
	m, inUse := newTestMemory(100_000)
	var k buffer
	read(&k, []byte("consumed, kept"))
	k.consume(m, len("consumed, "), 0)
	if string(k.b) != "kept" || k.pooled != nil || k.charge.bytes != 0 || cap(k.b) != freeSize {
		t.Errorf("kept %q in %d bytes, %d charged", k.b, cap(k.b), k.charge.bytes)
	}
	k.consume(m, 0, 50_000)
	if string(k.b) != "kept" || cap(k.b) != 50_000 || k.charge.bytes != 50_000 || inUse() != 50_000 {
		t.Errorf("kept %q in %d bytes, %d charged", k.b, cap(k.b), k.charge.bytes)
	}
	if n := read(&k, make([]byte, 60_000)); n != 49_996 {
		t.Errorf("room for %d bytes", n)
	}
	k.consume(m, len(k.b), 0)
	if k.b != nil || k.charge.bytes != 0 || inUse() != 0 {
		t.Errorf("at rest it holds %d bytes, %d charged", cap(k.b), k.charge.bytes)
	}
}

func TestBufferWithoutRoomInTheAccount(t *testing.T) {
	m, inUse := newTestMemory(10_000)
	if !m.tryTake(8000) {
		t.Fatal("no room")
	}
	var k buffer
	read(&k, make([]byte, 700))
	k.consume(m, 0, 5000)
	if k.want != 5000 || len(k.b) != 700 || k.charge.bytes != 0 {
		t.Fatalf("%d bytes kept, %d charged, %d wanted", len(k.b), k.charge.bytes, k.want)
	}
	m.give(8000)
	if err := m.take(context.Background(), k.want); err != nil {
		t.Fatal(err)
	}
	k.grow(m)
	if k.want != 0 || len(k.b) != 700 || cap(k.b) != 5000 || k.charge.bytes != 5000 || inUse() != 5000 {
		t.Errorf("%d of %d bytes kept, %d charged, %d wanted", len(k.b), cap(k.b), k.charge.bytes, k.want)
	}
	k.drop()
	if inUse() != 0 {
		t.Errorf("%v bytes are in use", inUse())
	}
}

// Whatever is read and consumed, the bytes come out as they went in, the account
// holds what the buffer does, and nothing at the end.
func TestBufferAccount(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	m, inUse := newTestMemory(150_000)
	stream := make([]byte, 30*2*readSize)
	for i := range stream {
		stream[i] = byte(rng.Uint32())
	}
	for range 300 {
		var k buffer
		in, out := 0, 0 // offsets in the stream
		others := 0     // what other sessions hold
		need := 0
		for range 30 {
			switch rng.IntN(5) {
			case 0: // others come and go
				m.give(others)
				others = rng.IntN(150_000)
				if !m.tryTake(others) {
					others = 0
				}
			case 1:
				if k.want > 0 && rng.IntN(2) == 0 { // waited, and got it
					m.give(others)
					others = 0
					if !m.tryTake(k.want) {
						t.Fatal("no room for what was wanted")
					}
					k.grow(m)
				}
			default:
				in += read(&k, stream[in:in+rng.IntN(2*readSize)])
				n := rng.IntN(len(k.b) + 1)
				switch {
				case len(k.b) > 64<<10: // more than is ever stored
					n = len(k.b)
				case len(k.b) < need && rng.IntN(4) > 0:
					n = 0
				}
				out += n
				need = 0
				if rest := len(k.b) - n; rest > 0 && rng.IntN(2) == 0 {
					need = rest + rng.IntN(64<<10)
				}
				k.consume(m, n, need)
			}
			if !bytes.Equal(k.b, stream[out:in]) {
				t.Fatal("bytes were lost or changed")
			}
			if got := inUse(); got != float64(others+k.charge.bytes) {
				t.Fatalf("%v bytes in use: %d by others, %d charged", got, others, k.charge.bytes)
			}
			if k.charge.bytes == 0 && len(k.b) == 0 && k.b != nil {
				t.Fatal("an empty buffer holds memory")
			}
		}
		k.drop()
		m.give(others)
		if inUse() != 0 {
			t.Fatalf("%v bytes in use at the end", inUse())
		}
	}
}

// The charge for what was kept may go to another owner.
func TestBufferHandsOverItsCharge(t *testing.T) {
	m, inUse := newTestMemory(100_000)
	var k buffer
	read(&k, make([]byte, 100))
	k.consume(m, 0, 50_000)
	c := k.handOver()
	k.drop()
	if inUse() != 50_000 {
		t.Errorf("%v bytes in use, handed over", inUse())
	}
	c.settle()
	c.settle()
	if inUse() != 0 {
		t.Errorf("%v bytes in use, settled", inUse())
	}
}

// Handshakes cannot use up the memory for requests, nor the other way round.
func TestMemoryIsShared(t *testing.T) {
	handshakes, requests := newMemory(1000, metrics.New(metrics.Build{}).Buffer())
	if !handshakes.tryTake(250) || handshakes.tryTake(1) || !requests.tryTake(750) || requests.tryTake(1) {
		t.Error("not a quarter for handshakes and the rest for requests")
	}
}

// Who waits for memory gets it in turn, and stops waiting with its context.
func TestMemoryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newTestMemory(1000)
		if !m.tryTake(900) {
			t.Fatal("no room")
		}
		ctx, cancel := context.WithCancel(context.Background())
		got := make(chan error, 2)
		go func() { got <- m.take(ctx, 500) }()
		synctest.Wait()
		if m.tryTake(50) {
			t.Error("a small request has overtaken one that waits")
		}
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("the wait ended with %v", err)
		}
		go func() { got <- m.take(context.Background(), 500) }()
		synctest.Wait()
		m.give(900)
		if err := <-got; err != nil {
			t.Error(err)
		}
		if !m.tryTake(500) || m.tryTake(1) {
			t.Error("the account is not right")
		}
	})
}
