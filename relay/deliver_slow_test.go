package relay_test

import (
	"io"
	"testing"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// TestDeliverSlowReader: an answer that its client is slow to take arrives whole.
func TestDeliverSlowReader(t *testing.T) {
	inBubble(t, &pyrotest.Network{}, func(t *testing.T, tr transport) {
		const size = 3 << 20
		r := start(t, tr, setup{
			Call: true, Daemons: []*pyrotest.Daemon{{OnInvoke: pyrotest.ReplyData(noise(size))}},
			Calls: blobRoute(func(*router.Route) {}),
		})
		for _, d := range dialects {
			c := r.connect(pyrotest.Client{Dialect: d})
			noError(t, c.Send(blobCall(c, "topic", []byte("x"))))
			got, buf := int64(0), make([]byte, 128<<10)
			want := int64(size + d.HeadLen())
			for got < want {
				time.Sleep(time.Second)
				n, err := io.ReadFull(c, buf[:min(want-got, int64(len(buf)))])
				if got += int64(n); err != nil {
					t.Errorf("%v: %d of %d bytes: %v", d, got, want, err)
					break
				}
			}
		}
	})
}
