package relay

import (
	"math/bits"
	"sync"
)

// The memory of large messages that are kept whole comes back: making it anew for each
// costs more than the message's way through us.

// largePools keep it by size, a power of two and its quarters.
var largePools [4 * bits.UintSize]sync.Pool // of *[]byte

// largeSize is the size of the memory that a message of n bytes gets.
func largeSize(n int) int {
	step := 1 << max(0, bits.Len(uint(n-1))-3)
	return (n + step - 1) &^ (step - 1)
}

// largePool is that of memory of n bytes, which is a large size.
func largePool(n int) *sync.Pool {
	shift := bits.Len(uint(n-1)) - 3
	return &largePools[4*shift+(n>>shift)&3]
}

// takeLarge gives memory for n bytes, a large size.
func takeLarge(n int) []byte {
	if b, ok := largePool(n).Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, n)
}

// giveLarge takes it back. Nobody may use it any more.
func giveLarge(b []byte) {
	b = b[:0]
	largePool(cap(b)).Put(&b)
}
