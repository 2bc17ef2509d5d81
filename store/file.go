package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/zap"
)

// File is a Store in one JSON file, for one process. The file is replaced as a
// whole, so it is never half written, and only once the new one is on the disk.
// Changes that are asked for while one is being written share the next writing.
type File struct {
	*shelf
	path   string
	limits limits
	log    *zap.Logger
	lock   io.Closer
	// replace puts data into the file: replaceFile, but for tests.
	replace func(path string, data []byte) error

	queue   sync.Mutex
	waiting []*op
	write   sync.Mutex // held by who writes for all that wait
	closed  bool
	failing bool
}

// ErrDamaged: a file is there, but it is not what was written.
var ErrDamaged = errors.New("is damaged or not a store")

// ErrInUse: another process has the file open as a store.
var ErrInUse = errors.New("is in use by another process")

var errClosed = fmt.Errorf("%w: it is closed", ErrUnavailable)

// OpenFile opens the store in a file, which is made where it is missing; its
// directory must be there and writable. A damaged file is an error and is left as it
// is. Beside the file there is another with ".lock" added to its name, which keeps
// other processes away where the system has flock; it stays. The log may be nil.
func OpenFile(path string, log *zap.Logger) (*File, error) {
	f := &File{
		path:    path,
		limits:  limits{entries: maxEntries, bytes: maxBytes},
		log:     cmp.Or(log, zap.NewNop()),
		replace: replaceFile,
	}
	// A link stays one: what it points to is replaced.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		f.path = target
	}
	var err error
	if f.lock, err = lockFile(f.path + ".lock"); err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	now, err := f.load()
	if err == nil && now == nil {
		now = &state{entries: make(map[string]Entry)}
		err = f.save(now) // so that a place that cannot be written to shows at once
	}
	if err != nil {
		f.lock.Close()
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	f.shelf = newShelf(now)
	return f, nil
}

// Close lets other processes have the file. What is put afterwards is refused with
// ErrUnavailable. Watches end with their contexts only.
func (f *File) Close() error {
	f.write.Lock()
	defer f.write.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	return f.lock.Close()
}

// Put is Store's. When it returns nil the value is on the disk. Beyond 100,000
// entries or 64 MiB the error is ErrFull; where the file cannot be written,
// ErrUnavailable. A ctx that ends does not end a writing that has begun.
func (f *File) Put(ctx context.Context, key string, value []byte, expect uint64) (uint64, error) {
	if err := fits(key, value); err != nil {
		return 0, err
	}
	return f.do(ctx, &op{key: key, value: value, expect: expect})
}

// Delete is Store's. When it returns nil the value is gone from the disk.
func (f *File) Delete(ctx context.Context, key string, expect uint64) error {
	_, err := f.do(ctx, &op{key: key, delete: true, expect: expect})
	return err
}

func (f *File) do(ctx context.Context, o *op) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	f.queue.Lock()
	f.waiting = append(f.waiting, o)
	f.queue.Unlock()
	f.write.Lock()
	defer f.write.Unlock()
	f.queue.Lock()
	ops := f.waiting
	f.waiting = nil
	f.queue.Unlock()
	if len(ops) > 0 { // else who wrote before us did it for us
		f.commit(ops)
	}
	return o.version, o.err
}

// commit is called with write held.
func (f *File) commit(ops []*op) {
	now := f.current()
	err := errClosed
	if !f.closed {
		next := now.apply(ops, f.limits)
		if next == now {
			return
		}
		err = f.save(next)
		f.report(err)
		if err == nil {
			f.publish(next)
			return
		}
	}
	// What the file holds now is known by whoever opens it next: the old or the new.
	for _, o := range ops {
		if o.err == nil {
			o.version, o.err = 0, err
		}
	}
}

func (f *File) report(err error) {
	if failing := err != nil; failing != f.failing {
		f.failing = failing
		if failing {
			f.log.Error("the store cannot be written: what was there stays, changes are refused", zap.String("file", f.path), zap.Error(err))
		} else {
			f.log.Info("the store can be written again", zap.String("file", f.path))
		}
	}
}

func (f *File) save(s *state) error {
	data, err := encode(s)
	if err != nil {
		return err
	}
	if err := f.replace(f.path, data); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// load gives nil if there is no file.
func (f *File) load() (*state, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	s, err := decode(data, f.limits)
	if err != nil {
		return nil, fmt.Errorf("the file %w (%w): restore it from a copy, or move it away to begin with an empty one; it was left as it is", ErrDamaged, err)
	}
	return s, nil
}

// replaceFile puts data into a new file, and that in the place of path. When it
// returns nil, the new one outlasts a crash of the machine; otherwise there is the
// old or the new one.
func replaceFile(path string, data []byte) error {
	temp := path + ".tmp"
	// The lock is ours, so one that is there is from a process that died.
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	return syncDir(filepath.Dir(path))
}
