package relay

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pipeSize is asked for; the kernel may give less to unprivileged users.
const pipeSize = 1 << 20

// maxIdlePipes bounds the pipes kept for the next large body.
const maxIdlePipes = 16

// pipe is what splice needs between two sockets.
type pipe struct{ r, w int }

var idlePipes struct {
	sync.Mutex
	pipes []pipe
}

func takePipe() (pipe, error) {
	idlePipes.Lock()
	defer idlePipes.Unlock()
	if n := len(idlePipes.pipes); n > 0 {
		p := idlePipes.pipes[n-1]
		idlePipes.pipes = idlePipes.pipes[:n-1]
		return p, nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return pipe{}, os.NewSyscallError("pipe2", err)
	}
	// A smaller pipe only makes more steps.
	unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize)
	return pipe{r: fds[0], w: fds[1]}, nil
}

// givePipe takes back a pipe, which must be empty.
func givePipe(p pipe) {
	idlePipes.Lock()
	defer idlePipes.Unlock()
	if len(idlePipes.pipes) < maxIdlePipes {
		idlePipes.pipes = append(idlePipes.pipes, p)
		return
	}
	p.close()
}

func (p pipe) close() {
	unix.Close(p.r)
	unix.Close(p.w)
}

// splice is move without copying the bytes through our memory, by way of p.
// Nothing is left in the pipe between two steps, so what has been counted has
// been delivered.
func splice(p pipe, dst, src *link, n int64, limit time.Duration, progress func(int64)) (readErr, writeErr error) {
	for n > 0 {
		in, err := spliceIn(p, src, n)
		if err != nil {
			givePipe(p)
			return err, nil
		}
		if err := spliceOut(dst, p, in, limit); err != nil {
			p.close()
			return nil, err
		}
		n -= in
		progress(in)
	}
	givePipe(p)
	return nil, nil
}

const spliceFlags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// spliceIn waits for bytes of src and takes up to n of them into the pipe.
func spliceIn(p pipe, src *link, n int64) (in int64, err error) {
	waitErr := src.raw.Read(func(fd uintptr) bool {
		for {
			got, spliceErr := unix.Splice(int(fd), nil, p.w, nil, int(min(n, pipeSize)), spliceFlags)
			in, err = int64(got), spliceErr // got is an int on 32-bit systems
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	switch {
	case waitErr != nil:
		return 0, waitErr
	case err != nil:
		return 0, os.NewSyscallError("splice", err)
	case in == 0:
		return 0, io.EOF
	}
	return in, nil
}

// spliceOut empties n bytes from the pipe into dst.
func spliceOut(dst *link, p pipe, n int64, limit time.Duration) (err error) {
	dst.within(limit)
	before := n
	waitErr := dst.raw.Write(func(fd uintptr) bool {
		for n > 0 {
			out, spliceErr := unix.Splice(p.r, nil, int(fd), nil, int(n), spliceFlags)
			err = spliceErr
			switch err {
			case nil:
				n -= int64(out)
			case unix.EINTR:
				err = nil
			default:
				return err != unix.EAGAIN
			}
		}
		return true
	})
	switch {
	case errors.Is(waitErr, os.ErrDeadlineExceeded) && n < before:
		return spliceOut(dst, p, n, limit)
	case waitErr != nil:
		return waitErr
	}
	return os.NewSyscallError("splice", err)
}
