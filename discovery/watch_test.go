package discovery

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"
)

// TestWatchBackwards: an index that goes backwards is an outage, once, whichever
// parts of Consul tell of it; and after a failure, which is one, no other.
func TestWatchBackwards(t *testing.T) {
	from := func(source string, index uint64, items string) answer[string] {
		return answer[string]{source: source, index: index, items: strings.Fields(items)}
	}
	failure := answer[string]{}
	tests := []struct {
		name    string
		answers []answer[string]
		want    []string
	}{
		{"never", []answer[string]{from("servers", 20, "a b"), from("view", 20, "a b"), from("servers", 21, "a")},
			[]string{"a b", "a b", "a"}},
		{"a view lags behind", []answer[string]{from("servers", 20, "a b"), from("view", 11, "a b"), from("servers", 21, "a"), from("view", 12, "")},
			[]string{"a b", "a b", "a", ""}},
		{"backwards", []answer[string]{from("servers", 20, "a b"), from("servers", 2, "a"), from("servers", 3, "")},
			[]string{"a b", "a b", "b"}},
		{"backwards, and the view as well", []answer[string]{from("servers", 20, "a b"), from("view", 20, "a b"), from("servers", 2, "a b"), from("view", 3, "a")},
			[]string{"a b", "a b", "a b", "a"}},
		{"failed, and backwards", []answer[string]{from("view", 20, "a b"), failure, from("servers", 2, "a b"), from("view", 3, "a")},
			[]string{"a b", "a b", "a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var told []string
				w := watch[string]{
					wait:   defaultWait,
					report: newReporter(zap.NewNop(), Events{}),
					memory: memory[string]{key: func(s string) string { return s }, grace: DefaultGrace},
					tell:   func(items []string) { told = append(told, strings.Join(items, " ")) },
				}
				i := 0
				w.ask = func(context.Context, api.QueryOptions) (answer[string], error) {
					if i == len(test.answers) {
						cancel()
						return answer[string]{}, ctx.Err()
					}
					a := test.answers[i]
					i++
					if a.source == "" {
						return a, errNoLeader
					}
					return a, nil
				}
				w.run(ctx)
				if diff := cmp.Diff(test.want, told); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
			})
		})
	}
}
