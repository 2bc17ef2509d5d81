package topics

import (
	"fmt"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/store"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// Whoever registers a number must not keep the answer from clients whose serializer has
// text for keys, nor hide the listeners of the text that looks like it.
func TestTopicsOfNumbersInEachSerializer(t *testing.T) {
	r := New(Config{Store: store.NewMemory()})
	register(t, r, "a", "PYRO:x@10.0.0.7:1")
	register(t, r, int64(2), "PYRO:y@10.0.0.7:1")
	register(t, r, "a", "PYRO:z@10.0.0.7:1")
	register(t, r, "2", "PYRO:z@10.0.0.7:1")
	const (
		apart    = `[{"a" [PYRO:x@10.0.0.7:1 PYRO:z@10.0.0.7:1]} {2 [PYRO:y@10.0.0.7:1]} {"2" [PYRO:z@10.0.0.7:1]}]`
		together = `[{"a" [PYRO:x@10.0.0.7:1 PYRO:z@10.0.0.7:1]} {"2" [PYRO:y@10.0.0.7:1 PYRO:z@10.0.0.7:1]}]`
	)
	for s, want := range map[wire.Serializer]string{
		wire.Serpent: apart, wire.Marshal: apart, wire.JSON: together, wire.Msgpack: together,
	} {
		from := nearby
		from.Serializer = s
		topics, raised := call(t, r, from, "topics")
		var got []string
		for _, p := range topics.(values.Dict) {
			got = append(got, fmt.Sprintf("{%#v %v}", p.Key, p.Value))
		}
		if raised != "" || fmt.Sprint(got) != want {
			t.Errorf("%v: %s, %v, want %s", s, raised, got, want)
		}
	}
}
