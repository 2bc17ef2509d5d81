package balance

// heap is a binary heap of indexes with the smallest key first, and of equal
// keys the smallest index. (container/heap would call through an interface.)
type heap struct {
	key   []float64 // by index; must not change, other than all alike, while in here
	items []int32
}

func (h *heap) less(a, b int32) bool {
	return h.key[a] < h.key[b] || h.key[a] == h.key[b] && a < b
}

func (h *heap) push(x int32) {
	h.items = append(h.items, x)
	at := len(h.items) - 1
	for at > 0 {
		parent := (at - 1) / 2
		if !h.less(x, h.items[parent]) {
			break
		}
		h.items[at] = h.items[parent]
		at = parent
	}
	h.items[at] = x
}

func (h *heap) pop() int32 {
	top := h.items[0]
	last := len(h.items) - 1
	x := h.items[last]
	h.items = h.items[:last]
	at := 0
	for {
		child := 2*at + 1
		if child >= last {
			break
		}
		if child+1 < last && h.less(h.items[child+1], h.items[child]) {
			child++
		}
		if !h.less(h.items[child], x) {
			break
		}
		h.items[at] = h.items[child]
		at = child
	}
	if last > 0 {
		h.items[at] = x
	}
	return top
}
