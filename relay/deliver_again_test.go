package relay_test

import (
	"slices"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
	"github.com/pyro-dispatch/pyro-dispatch/router"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// TestDeliverBehindOneway: a call that came together with a oneway one is answered although
// others have used up the memory. All of it is here: it needs none.
func TestDeliverBehindOneway(t *testing.T) {
	overAll(t, func(t *testing.T, tr transport) {
		r := start(t, tr, setup{
			Call: true, BufferMemory: 350_000, // of which a quarter is for CONNECTs
			Route: func(r *router.Route) { r.Answer = &router.Members{Methods: []string{"process_blob"}} },
			Calls: blobRoute(func(r *router.Route) { r.Deliver.To = router.ToAll }),
		})
		slow, c := r.connect(pyrotest.Client{}), r.connect(pyrotest.Client{})
		part := blobCall(slow, "topic", make([]byte, 250_000)).Bytes()
		_, err := slow.Write(part[:100_000])
		noError(t, err)
		pyrotest.WaitFor(t, "memory is used up", func() bool { return r.value("buffer_memory_bytes") >= 250_000 })
		if m, err := c.Do(blobCall(c, "topic", nil)); err != nil || m.Head.Has(wire.Exception) { // there is a connection
			t.Errorf("%+v %q, %v", m.Head, m.Data, err)
		}
		for range 3 {
			first := blobCall(c, "topic", make([]byte, 10), wire.Oneway)
			m := blobCall(c, "topic", make([]byte, 6000))
			_, err = c.Write(slices.Concat(first.Bytes(), m.Bytes()))
			noError(t, err)
			if m, err := c.Await(m); err != nil {
				t.Errorf("%+v %.300q, %v", m.Head, m.Data, err)
			}
		}
		if n := r.value("buffer_memory_waits_total"); n != 0 {
			t.Errorf("waited %v times", n)
		}
		_, err = slow.Write(part[100_000:])
		noError(t, err)
		if m, err := slow.Next(); err != nil || m.Head.Has(wire.Exception) {
			t.Errorf("%+v %q, %v", m.Head, m.Data, err)
		}
	})
}
