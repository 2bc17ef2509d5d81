package relay

import (
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// TestTornOneway: a oneway request of which only a part could be written is not sent, and
// nothing of ours goes behind that part. Whoever found out ends the leg.
func TestTornOneway(t *testing.T) {
	l := &leg{
		Leg: new(router.Leg), delivery: &delivery{Delivery: new(router.Delivery)},
		lease: new(backend.Lease), reader: &reader{link: new(link)},
		begun: true,
	}
	defer func() {
		if recover() != nil || l.ended || l.lease == nil {
			t.Error("it counts as sent")
		}
	}()
	l.sent()
}
