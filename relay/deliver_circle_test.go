package relay_test

import (
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// A leg that may close a circle, as far as the addresses tell, is sent all the same, and
// told of in log and metrics.
func TestDeliveredCircle(t *testing.T) {
	tr := &sockets{network: "tcp"} // everything is at one address
	for _, d := range dialects {
		hold, there := make(chan struct{}), make(chan struct{}, 2)
		r := start(t, tr, setup{
			Cluster: pooledToo,
			Daemons: []*pyrotest.Daemon{{OnInvoke: func(c *pyrotest.DaemonConn, m pyrotest.Message) {
				there <- struct{}{}
				pyrotest.AfterSignal(hold, pyrotest.Echo)(c, m)
			}}},
			Calls: blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
		})
		id := [16]byte{7, 15: 7}
		done := make(chan error, 2)
		for range 2 {
			c := r.connect(pyrotest.Client{Dialect: d})
			go func() {
				_, err := c.Do(blobCall(c, "topic", []byte("data")).WithCorrelation(id))
				done <- err
			}()
			select {
			case <-there:
			case <-time.After(r.patience()):
				t.Fatal("the call is not sent")
			}
		}
		close(hold)
		for range 2 {
			noError(t, <-done)
		}
		r.waitValue(1, "circles_total", "blobs", "cluster", "possible")
		pyrotest.WaitFor(r, "the circle is in the log", func() bool {
			lines := r.logs.FilterMessage("circular call").All()
			return len(lines) == 1 && lines[0].Level == zapcore.DebugLevel && lines[0].ContextMap()["object"] == "l0"
		})
		r.stop()
	}
}
