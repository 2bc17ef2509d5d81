package backend

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poll looks at p without waiting. It goes around the scheduler's hand-over for system
// calls, which on an otherwise idle machine wakes the runtime's monitor at every call:
// that costs as much as all the rest of the call.
func poll(p *unix.PollFd) (int, error) {
	var now unix.Timespec
	n, _, errno := syscall.RawSyscall6(unix.SYS_PPOLL,
		uintptr(unsafe.Pointer(p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
