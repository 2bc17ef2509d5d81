package relay

import (
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// After so many sessions have parked, their stacks are worth returning to
	// the system, but not more often than trimEvery.
	trimAfter = 500
	trimEvery = 10 * time.Second
)

// lot is where idle sessions are parked: they keep their connections and their
// state, but no goroutine, whose stacks would be most of what an idle session
// costs. One goroutine watches all parked connections through an epoll
// instance of the lot's own, which the runtime's poller watches in turn. Both
// exist from the first session that parks until close.
type lot struct {
	mu     sync.Mutex
	file   *os.File // the epoll instance
	fd     int
	closed bool
	parked map[int32]*driver // by ticket
	ticket int32

	untrimmed int // parked since the last trim
	trimmed   time.Time

	running sync.WaitGroup
}

func newLot() *lot { return &lot{parked: make(map[int32]*driver)} }

// open makes the epoll instance where there is none yet. The lock is held.
func (k *lot) open() error {
	switch {
	case k.closed:
		return os.ErrClosed
	case k.file != nil:
		return nil
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "parked sessions")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return err
	}
	k.file, k.fd = file, fd
	k.running.Go(func() { k.run(raw) })
	return nil
}

// close ends the watching: nobody is left to park.
func (k *lot) close() {
	k.mu.Lock()
	k.closed = true
	if k.file != nil {
		k.file.Close()
	}
	k.mu.Unlock()
	k.running.Wait()
}

// run wakes sessions when there is something to read for them, until close.
func (k *lot) run(raw syscall.RawConn) {
	events := make([]unix.EpollEvent, 256)
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil {
			return // closed
		}
		for _, e := range events[:n] {
			k.mu.Lock()
			d := k.parked[e.Pad]
			k.mu.Unlock()
			if d != nil {
				d.unpark()
			}
		}
	}
}

// add parks d. It is called with d's lock held.
func (k *lot) add(d *driver) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.open(); err != nil {
		return err
	}
	for taken := true; taken; _, taken = k.parked[k.ticket] {
		k.ticket++
	}
	d.ticket = k.ticket
	for _, l := range d.parkedLinks() {
		if err := k.watch(l, d.ticket); err != nil {
			k.unwatch(d)
			return err
		}
	}
	k.parked[d.ticket] = d
	k.untrimmed++
	if k.untrimmed == trimAfter {
		time.AfterFunc(max(visitAfter, time.Until(k.trimmed.Add(trimEvery))), k.trim)
	}
	return nil
}

// remove takes d out. It is called with d's lock held.
func (k *lot) remove(d *driver) {
	k.mu.Lock()
	delete(k.parked, d.ticket)
	k.mu.Unlock()
	k.unwatch(d)
}

// watch reports l's descriptor once, at once where something can be read
// already. A raw connection's descriptor cannot be closed, and its number not
// used for another, while Control runs.
func (k *lot) watch(l *link, ticket int32) error {
	return k.control(l, unix.EPOLL_CTL_ADD, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT,
		Pad:    ticket,
	})
}

func (k *lot) unwatch(d *driver) {
	for _, l := range d.parkedLinks() {
		_ = k.control(l, unix.EPOLL_CTL_DEL, nil) // a closed one has left by itself
	}
}

func (k *lot) control(l *link, op int, e *unix.EpollEvent) error {
	var err error
	controlErr := l.raw.Control(func(fd uintptr) {
		if e != nil {
			e.Fd = int32(fd)
		}
		err = unix.EpollCtl(k.fd, op, int(fd), e)
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}

// trim returns the memory of many parked sessions' stacks to the system.
func (k *lot) trim() {
	k.mu.Lock()
	k.untrimmed, k.trimmed = 0, time.Now()
	k.mu.Unlock()
	debug.FreeOSMemory()
}

// parkedLinks are the connections that wake a parked session.
func (d *driver) parkedLinks() []*link {
	if d.calls() {
		return []*link{d.client}
	}
	return []*link{d.client, d.leg}
}
