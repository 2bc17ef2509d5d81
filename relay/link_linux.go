package relay

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const eagain = unix.EAGAIN

// open gets raw access to TCP and Unix sockets.
func (l *link) open() {
	sc, ok := l.conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	l.raw = raw
	if _, ok := l.conn.(*net.TCPConn); ok {
		raw.Control(func(fd uintptr) {
			l.hints = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_INQ, 1) == nil
		})
	}
}

// writable is the body of trySend.
func (l *link) writable(fd uintptr) bool {
	n, errno := send(fd, l.out)
	switch errno {
	case 0:
		l.sent = n
	case unix.EAGAIN:
	default:
		l.outErr = errno
	}
	return true
}

// acknowledge says at once that what was read has arrived. Left to itself, the
// kernel does so after some 40 ms, and as long the other side keeps back what it
// sends next, unless it has TCP_NODELAY, which Pyro's daemons have not by default.
func (l *link) acknowledge() {
	if l.hints { // it is TCP
		_ = l.raw.Control(func(fd uintptr) { // fails where we have closed it ourselves
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
		})
	}
}

// broken reports whether the connection is gone in both directions: a reset, or
// the end of both. What had arrived before may still be unread.
func (l *link) broken() bool {
	gone := false
	_ = l.raw.Control(func(fd uintptr) { // fails where we have closed it ourselves
		p := []unix.PollFd{{Fd: int32(fd)}}
		n, _ := unix.Poll(p, 0)
		gone = n > 0 && p[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
	})
	return gone
}

// The calls below go around the scheduler's hand-over for system calls: they do
// not wait, and the hand-over costs as much as they do.

func send(fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, fd,
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// received is what one receive found.
type received struct {
	n     int
	errno syscall.Errno
	// more: the next receive will not have to wait. known: more is the
	// kernel's word; without it only EAGAIN proves that nothing is left.
	more, known bool
}

// inqControl has room for the one control message that TCP_INQ adds.
type inqControl struct {
	header unix.Cmsghdr
	value  uint32
	_      uint32
}

// receive reads into b without waiting. With hints the kernel says how much is
// left, and counts the end of the stream as a byte, so that an end that came
// together with the last data is not missed: an edge-triggered poller would
// not report it again.
func receive(fd uintptr, b []byte, hints bool) received {
	if !hints {
		for {
			n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, fd,
				uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
			if errno != unix.EINTR {
				return received{n: int(n), errno: errno}
			}
		}
	}
	var control inqControl
	iov := unix.Iovec{Base: unsafe.SliceData(b)}
	iov.SetLen(len(b))
	msg := unix.Msghdr{Iov: &iov, Control: (*byte)(unsafe.Pointer(&control))}
	msg.SetIovlen(1)
	for {
		msg.SetControllen(int(unsafe.Sizeof(control)))
		n, _, errno := syscall.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT)
		if errno == unix.EINTR {
			continue
		}
		known := errno == 0 && control.header.Level == unix.IPPROTO_TCP && control.header.Type == unix.TCP_CM_INQ
		return received{n: int(n), errno: errno, known: known, more: known && control.value > 0}
	}
}
