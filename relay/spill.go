package relay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/pyro-dispatch/pyro-dispatch/metrics"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// Spill says which of the requests that are dispatched are kept on disk, and where. Only
// their data is: header and annotations stay in memory.
type Spill struct {
	// Bytes bounds all files together, and each; 0: nothing is kept on disk.
	Bytes int64
	// Threshold is the length, in bytes, of those that are kept in memory as long as there is
	// some. A file counts as so many bytes at least, which bounds how many there are.
	Threshold int64
	// Dir is where the files are; "" is that of temporary files.
	Dir string
	// Create makes a file for one request, which is closed when nobody needs it any more. nil
	// makes them in Dir, without a name, so that none is left when the process is killed.
	Create func() (SpillFile, error)
}

// SpillFile is what a request is kept in. Reads may come from several goroutines at once.
type SpillFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
}

// TrySpill makes a file in dir, as requests get one, and lets it go.
func TrySpill(dir string) error {
	f, err := createUnlinked(dir)
	if err != nil {
		return err
	}
	return f.Close()
}

// spills is where requests are kept on disk.
type spills struct {
	threshold, bytes int64
	account          *memory // of bytes of files
	create           func() (SpillFile, error)
	metrics          metrics.Spill
}

// newSpills gives nil where nothing is to be kept on disk.
func newSpills(c *Spill, m metrics.Spill) *spills {
	m.Limit.Set(float64(c.Bytes))
	if c.Bytes <= 0 {
		return nil
	}
	s := &spills{
		threshold: min(max(c.Threshold, 1), c.Bytes), bytes: c.Bytes, create: c.Create, metrics: m,
		account: &memory{
			account: semaphore.NewWeighted(c.Bytes),
			metrics: metrics.Buffer{InUse: m.InUse, Limit: m.Limit, Waits: m.Waits},
		},
	}
	if s.create == nil {
		dir := c.Dir
		if dir == "" {
			dir = os.TempDir()
		}
		s.create = func() (SpillFile, error) { return createUnlinked(dir) }
	}
	return s
}

// size is what the file of a request of n bytes counts as.
func (s *spills) size(n int64) int { return int(max(n, s.threshold)) }

// spilled is a file with the data of one request.
type spilled struct {
	store *spills
	file  SpillFile
	bytes int64  // that were written
	room  charge // for all that will be
}

// open makes a file, which has that room. The room is the file's then.
func (s *spills) open(room charge) (*spilled, error) {
	f, err := s.create()
	if err != nil {
		room.settle()
		return nil, s.failed(err)
	}
	s.metrics.Files.Inc()
	return &spilled{store: s, file: f, room: room}, nil
}

// close gives everything back. It may wait for the disk.
func (f *spilled) close() {
	_ = f.file.Close() // whatever it had to say, nobody needs the data
	f.store.metrics.Files.Dec()
	f.room.settle()
}

// write appends b.
func (f *spilled) write(b []byte) error {
	n, err := f.file.WriteAt(b, f.bytes)
	f.bytes += int64(n)
	if err != nil {
		return f.store.failed(err)
	}
	return nil
}

// failed counts a failure, and says in words that may be told to a client what it is.
func (s *spills) failed(err error) error {
	s.metrics.Failures.Inc()
	var at *os.PathError
	if errors.As(err, &at) {
		err = at.Err // where the files are is nobody's business
	}
	return fmt.Errorf("%w: %w", router.ErrSpill, err)
}

// sendTo writes all of the file to dst, waiting, and returns how much that was. Within
// limit, if that is not 0, dst must take some bytes. The error is router.ErrSpill where the
// file cannot be read.
func (f *spilled) sendTo(dst *link, limit time.Duration) (n int64, err error) {
	defer dst.anyTime(limit)
	if file, ok := f.file.(*os.File); ok && dst.raw != nil {
		if n, err = f.sendFile(dst, file, limit); !errors.Is(err, errors.ErrUnsupported) {
			return n, err
		}
	}
	buf := movePool.Get().(*[moveSize]byte)
	defer movePool.Put(buf)
	for n < f.bytes {
		got, err := f.file.ReadAt(buf[:min(f.bytes-n, moveSize)], n)
		if got == 0 {
			return n, f.store.failed(err)
		}
		m, err := dst.push(buf[:got], limit)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// createRemoved makes a file in dir and takes its name away at once.
func createRemoved(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "pyro-dispatch-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
