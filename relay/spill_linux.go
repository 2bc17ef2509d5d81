package relay

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// createUnlinked makes a file in dir that has no name.
func createUnlinked(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_TMPFILE|unix.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) { // not every file system can
		return createRemoved(dir)
	}
	return f, err
}

// sendFile is sendTo without copying the bytes through our memory. Each caller has an offset
// of its own. The error is errors.ErrUnsupported where the file system does not take part in
// that, and nothing has been written then.
func (f *spilled) sendFile(dst *link, file *os.File, limit time.Duration) (n int64, err error) {
	for n < f.bytes {
		dst.within(limit)
		before := n
		waitErr := dst.raw.Write(func(fd uintptr) bool {
			for n < f.bytes {
				m, sendErr := unix.Sendfile(int(fd), int(file.Fd()), &n, int(min(f.bytes-n, pipeSize)))
				switch err = sendErr; {
				case err == unix.EINTR:
				case err != nil:
					return err != unix.EAGAIN
				case m == 0:
					err = io.ErrUnexpectedEOF
					return true
				}
			}
			return true
		})
		switch {
		case errors.Is(waitErr, os.ErrDeadlineExceeded) && n > before:
		case waitErr != nil:
			return n, waitErr
		case (err == unix.EINVAL || err == unix.ENOSYS) && n == 0:
			return 0, errors.ErrUnsupported
		case err == unix.EIO || err == io.ErrUnexpectedEOF:
			return n, f.store.failed(err)
		case err != nil:
			return n, os.NewSyscallError("sendfile", err)
		}
	}
	return n, nil
}

// fill moves what there is of src, up to n bytes, to the end of the file, without copying it
// through our memory. It waits for src, and calls read with how much it was before it is
// written: read reports whether to go on.
func (f *spilled) fill(p pipe, src *link, file *os.File, n int64, read func(int64) bool) (wanted bool, readErr, err error) {
	in, readErr := spliceIn(p, src, n)
	if readErr != nil {
		return true, readErr, nil
	}
	wanted = read(in)
	for in > 0 && wanted {
		out, err := unix.Splice(p.r, nil, int(file.Fd()), &f.bytes, int(in), unix.SPLICE_F_MOVE)
		switch {
		case err == unix.EINTR:
		case err == unix.EINVAL: // not every file system can
			buf := movePool.Get().(*[moveSize]byte)
			got, err := unix.Read(p.r, buf[:min(in, moveSize)])
			if err == nil {
				err = f.write(buf[:got])
			}
			movePool.Put(buf)
			if err != nil {
				return true, nil, err
			}
			in -= int64(got)
		case err != nil:
			return true, nil, f.store.failed(err)
		default:
			in -= int64(out)
		}
	}
	return wanted, nil, nil
}
