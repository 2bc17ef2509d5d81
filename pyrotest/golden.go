package pyrotest

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Golden compares got with the file of that name, or writes the file where
// update is set, which is what the tests' -update flag is for.
func Golden(tb testing.TB, name, got string, update bool) {
	tb.Helper()
	if update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			tb.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		tb.Errorf("%s (-want +got; go test -update rewrites it):\n%s", name, diff)
	}
}
