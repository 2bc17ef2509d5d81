package relay_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/relay"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Dispatched requests that are kept on disk.

// spillSize is more than the buffer memory of these tests, and much more than sockets hold.
const spillSize = 16 << 20

// onDisk is a setup in which that is so.
func onDisk(t *testing.T, s setup) setup {
	s.Call, s.BufferMemory = true, 1<<20
	s.Spill.Bytes, s.Spill.Threshold, s.Spill.Dir = 64<<20, 1<<20, t.TempDir()
	t.Cleanup(func() {
		if left, err := os.ReadDir(s.Spill.Dir); err != nil || len(left) > 0 {
			t.Errorf("left in the directory: %v, %v", left, err)
		}
	})
	return s
}

// noise is data of n bytes in which no part is like another.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// hearing is a daemon's script that keeps the sum of what it got.
func hearing(sum *atomic.Value) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		sum.Store(sha256.Sum256(m.Data))
		_ = c.Reply(m, wire.Result, 0, []byte("heard"))
	}
}

// readsAfter lets a daemon read nothing behind the CONNECT before the signal.
func readsAfter(signal <-chan struct{}) pyrotest.Script {
	return func(c *pyrotest.DaemonConn, m pyrotest.Message) {
		pyrotest.AcceptConnect(c, m)
		select {
		case <-signal:
		case <-c.Closing():
		}
	}
}

// TestSpill: each listener gets the whole request at its own pace, and none of it is in the
// buffer memory.
func TestSpill(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		for _, d := range dialects {
			var fast, slow atomic.Value
			slowly, never := make(chan struct{}), make(chan struct{})
			r := start(t, tr, onDisk(t, setup{
				Daemons: []*pyrotest.Daemon{
					{OnConnect: readsAfter(never)},
					{OnInvoke: hearing(&fast)},
					{OnConnect: readsAfter(slowly), OnInvoke: hearing(&slow)},
				},
				Calls: blobRoute(func(r *router.Route) { r.Deliver.To, r.Deliver.Quorum = router.ToAll, 2 }),
			}))
			c := r.connect(pyrotest.Client{Dialect: d})
			data := noise(spillSize)
			want := sha256.Sum256(data)
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				m, err := c.Do(blobCall(c, "topic", data))
				if err != nil || m.Head.Has(wire.Exception) || !strings.Contains(string(m.Data), "None") {
					t.Errorf("%+v %q, %v", m.Head, m.Data, err)
				}
			}()
			pyrotest.WaitFor(t, "the fast one has it", func() bool { return fast.Load() == want })
			if slow.Load() != nil {
				t.Error("the slow one is not slow")
			}
			if n := r.value("buffer_memory_bytes"); n != 0 {
				t.Errorf("%v bytes of buffer memory", n)
			}
			if n := r.value("spill_bytes"); n < spillSize || n > spillSize+1000 || r.value("spill_files") != 1 {
				t.Errorf("%v bytes in %v files", n, r.value("spill_files"))
			}
			close(slowly)
			<-answered
			if slow.Load() != want {
				t.Error("the slow one got something else")
			}
			r.setup.Daemons[0].Close()
			r.waitValue(0, "spill_files")
			if n := r.value("spill_requests_total"); n != 1 {
				t.Errorf("%v requests", n)
			}
			noError(t, c.Ping())
			r.stop()
		}
	})
}

// failingFile is a file that fails.
type failingFile struct {
	*os.File
	writes, reads int64 // bytes from where on it does so
}

func (f *failingFile) WriteAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > f.writes {
		return 0, &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return f.File.WriteAt(b, at)
}

func (f *failingFile) ReadAt(b []byte, at int64) (int, error) {
	if at >= f.reads {
		return 0, &os.PathError{Op: "read", Path: f.Name(), Err: syscall.EIO}
	}
	return f.File.ReadAt(b, at)
}

// TestSpillFails: the client is told, and that is all.
func TestSpillFails(t *testing.T) {
	tests := []struct {
		name          string
		create        error
		writes, reads int64
		want          string
	}{
		{"no file", &os.PathError{Op: "open", Path: "/secret", Err: syscall.EACCES}, 0, 0, "the call could not be kept on disk: permission denied"},
		{"full at once", nil, 0, 0, "the call could not be kept on disk: no space left on device"},
		{"full in the middle", nil, spillSize / 2, 0, "the call could not be kept on disk: no space left on device"},
		{"not to be read", nil, 2 * spillSize, 0, "the call could not be kept on disk: input/output error"},
		{"broken in the middle", nil, 2 * spillSize, spillSize / 2, "the call could not be kept on disk: input/output error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			overAll(t, func(t *testing.T, tr transport) {
				var fails atomic.Bool
				s := onDisk(t, setup{Calls: blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll })})
				s.Spill.Create = func() (relay.SpillFile, error) {
					if fails.Load() && tt.create != nil {
						return nil, tt.create
					}
					f, err := os.CreateTemp(s.Spill.Dir, "")
					noError(t, err)
					noError(t, os.Remove(f.Name()))
					if !fails.Load() {
						return f, nil
					}
					return &failingFile{f, tt.writes, tt.reads}, nil
				}
				r := start(t, tr, s)
				for _, d := range dialects {
					c := r.connect(pyrotest.Client{Dialect: d})
					for _, fail := range []bool{true, false, true} {
						fails.Store(fail)
						m, err := c.Do(blobCall(c, "topic", make([]byte, spillSize)))
						switch {
						case err != nil:
							t.Fatal(err)
						case fail && (!strings.Contains(string(m.Data), tt.want) || strings.Contains(string(m.Data), "secret")),
							!fail && m.Head.Has(wire.Exception):
							t.Errorf("told %q", m.Data)
						case fail && strings.Contains(string(m.Data), "CommunicationError"):
							t.Errorf("not a PyroError: %q", m.Data)
						}
						_, err = c.Call([]byte("plain"))
						noError(t, err)
					}
				}
				r.waitValue(0, "spill_files")
				if n := r.value("spill_failures_total"); n != 4 {
					t.Errorf("%v failures", n)
				}
				// A line for the call, and one for the leg that has failed.
				want := 4
				if tt.reads > 0 || tt.writes > spillSize {
					want = 8
				}
				if n := r.logs.FilterMessageSnippet("failed").Len(); n != want {
					t.Errorf("%d lines: %v", n, r.logs.All())
				}
			})
		})
	}
}

// TestSpillResend: an idempotent call is sent again, from the file.
func TestSpillResend(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		var calls atomic.Int32
		var sum atomic.Value
		script := func(c *pyrotest.DaemonConn, m pyrotest.Message) {
			if calls.Add(1) == 1 {
				_ = c.Close()
				return
			}
			hearing(&sum)(c, m)
		}
		r := start(t, tr, onDisk(t, setup{
			Daemons: []*pyrotest.Daemon{{OnInvoke: script}, {OnInvoke: script}},
			Cluster: func(c *backend.Config) { c.RetryBudget = 100 },
			Calls: blobRoute(func(r *router.Route) {
				r.Deliver.Listeners, r.Idempotent = nil, true
			}),
		}))
		c := r.connect(pyrotest.Client{})
		data := noise(spillSize)
		if m, err := c.Do(blobCall(c, "topic", data)); err != nil || m.Head.Has(wire.Exception) {
			t.Errorf("%+v %q, %v", m.Head, m.Data, err)
		}
		if sum.Load() != sha256.Sum256(data) || calls.Load() != 2 {
			t.Errorf("%d calls, or not the same", calls.Load())
		}
		r.waitValue(0, "spill_files")
	})
}

// TestSpillOneway: it reaches all, though its client has gone at once.
func TestSpillOneway(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		var a, b atomic.Value
		r := start(t, tr, onDisk(t, setup{
			Daemons: []*pyrotest.Daemon{{OnInvoke: hearing(&a)}, {OnInvoke: hearing(&b)}},
			Calls:   blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
		}))
		c := r.connect(pyrotest.Client{})
		data := noise(spillSize)
		noError(t, c.Send(blobCall(c, "topic", data, wire.Oneway)))
		noError(t, c.Close())
		want := sha256.Sum256(data)
		pyrotest.WaitFor(t, "both have it", func() bool { return a.Load() == want && b.Load() == want })
		r.waitValue(0, "spill_files")
	})
}

// TestSpillForWantOfMemory: a request that could be in memory goes to disk where others
// have used that up.
func TestSpillForWantOfMemory(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		const size = 200_000
		s := onDisk(t, setup{Calls: blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll })})
		s.BufferMemory = 400_000 // of which a quarter is for CONNECTs
		r := start(t, tr, s)
		slow, c := r.connect(pyrotest.Client{}), r.connect(pyrotest.Client{})
		b := blobCall(slow, "topic", make([]byte, size)).Bytes()
		_, err := slow.Write(b[:size/2])
		noError(t, err)
		pyrotest.WaitFor(t, "memory is used up", func() bool { return r.value("buffer_memory_bytes") >= size })
		for range 3 {
			if m, err := c.Do(blobCall(c, "topic", make([]byte, size))); err != nil || m.Head.Has(wire.Exception) {
				t.Errorf("%+v %q, %v", m.Head, m.Data, err)
			}
		}
		_, err = slow.Write(b[size/2:])
		noError(t, err)
		if m, err := slow.Next(); err != nil || m.Head.Has(wire.Exception) {
			t.Errorf("%+v %q, %v", m.Head, m.Data, err)
		}
		if n, waits := r.value("spill_requests_total"), r.value("buffer_memory_waits_total"); n != 3 || waits != 0 {
			t.Errorf("%v on disk, waited %v times", n, waits)
		}
		r.waitValue(0, "spill_files")
	})
}

// TestSpillRoom: clients wait where all of the disk space is given away, and what can never
// fit is refused.
func TestSpillRoom(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		s := onDisk(t, setup{Calls: blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll })})
		s.Spill.Bytes = 5 << 20
		r := start(t, tr, s)
		var clients []*pyrotest.Client
		for range 4 {
			c := r.connect(pyrotest.Client{})
			_, err := c.Write(blobCall(c, "topic", make([]byte, 2<<20)).Bytes()[:10_000])
			noError(t, err)
			clients = append(clients, c)
		}
		r.waitValue(2, "spill_files")
		r.waitValue(2, "spill_waits_total")
		var running sync.WaitGroup
		for _, c := range clients {
			running.Go(func() {
				_, err := c.Write(blobCall(c, "topic", make([]byte, 2<<20)).Bytes()[10_000:])
				noError(t, err)
				if m, err := c.Next(); err != nil || m.Head.Has(wire.Exception) {
					t.Errorf("%+v %q, %v", m.Head, m.Data, err)
				}
			})
		}
		running.Wait()
		c := clients[0]
		m, err := c.Do(blobCall(c, "topic", make([]byte, 5<<20)))
		if err != nil || !strings.Contains(string(m.Data), fmt.Sprintf("of %d that can be dispatched", 5<<20)) {
			t.Errorf("%+v %q, %v", m.Head, m.Data, err)
		}
		r.waitValue(0, "spill_bytes")
	})
}

// TestSpillAnnotations: they stay in memory, and are charged for as long as the file is
// there.
func TestSpillAnnotations(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		const size = 50_000
		reads := make(chan struct{})
		r := start(t, tr, onDisk(t, setup{
			Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.AfterSignal(reads, pyrotest.Echo)}},
			Calls:   blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
		}))
		c := r.connect(pyrotest.Client{})
		m := blobCall(c, "topic", make([]byte, 2<<20))
		m.Chunks = append(m.Chunks, wire.Chunk{ID: [4]byte{'M', 'O', 'R', 'E'}, Value: make([]byte, size)})
		noError(t, c.Send(m))
		r.waitValue(1, "spill_requests_total")
		if n := r.value("buffer_memory_bytes"); n < size || n > 2*size {
			t.Errorf("%v bytes are charged", n)
		}
		close(reads)
		if m, err := c.Next(); err != nil || m.Head.Has(wire.Exception) {
			t.Errorf("%+v %q, %v", m.Head, m.Data, err)
		}
		r.waitValue(0, "buffer_memory_bytes")
	})
}
