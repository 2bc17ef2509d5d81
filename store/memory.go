package store

import (
	"context"
	"sync"
)

// Memory is a Store that ends with the process.
type Memory struct {
	*shelf
	write  sync.Mutex
	limits limits
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory {
	return &Memory{
		shelf:  newShelf(&state{entries: make(map[string]Entry)}),
		limits: limits{entries: maxEntries, bytes: maxBytes},
	}
}

// Put is Store's. Beyond 100,000 entries or 64 MiB the error is ErrFull.
func (m *Memory) Put(ctx context.Context, key string, value []byte, expect uint64) (uint64, error) {
	if err := fits(key, value); err != nil {
		return 0, err
	}
	return m.do(ctx, &op{key: key, value: value, expect: expect})
}

// Delete is Store's.
func (m *Memory) Delete(ctx context.Context, key string, expect uint64) error {
	_, err := m.do(ctx, &op{key: key, delete: true, expect: expect})
	return err
}

func (m *Memory) do(ctx context.Context, o *op) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.write.Lock()
	defer m.write.Unlock()
	m.publish(m.current().apply([]*op{o}, m.limits))
	return o.version, o.err
}
