package integration

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestBigBlob has a client of each library send a blob to two listeners that is many times as
// large as the memory that the dispatcher may use for calls.
func TestBigBlob(t *testing.T) {
	binary, err := plainDispatcher()
	if err != nil {
		t.Fatal(err)
	}
	for _, lib := range []string{"pyro4", "pyro5"} {
		t.Run(lib, func(t *testing.T) {
			run := func(name string, args ...string) *process {
				args = append([]string{"py/bigblob.py", "--lib", lib}, args...)
				return startProcess(t, lib+" "+name, exec.Command(python, args...), nil)
			}
			listeners := []*process{run("listener 1", "listen"), run("listener 2", "listen")}
			var locations []string
			for _, l := range listeners {
				locations = append(locations, strings.TrimPrefix(l.says(t, "location "), "location "))
			}
			d := runDispatcher(t, binary, "--config", writeConfig(t, fmt.Sprintf(`
admin: {address: "127.0.0.1:0"}
limits: {buffer_memory: 4MiB, spill_dir: %q}
listeners: [{address: "127.0.0.1:0"}]
routes:
- {name: big, match: {blob: {info: big}}, rewrite: {object: big.listener}, delivery: all, cluster: listeners}
- {name: ours, match: {object: big.dispatcher}, answer: {methods: [process_blob]}}
clusters:
- {name: listeners, static: [%s]}
`, t.TempDir(), quoted(locations))))
			send := func(size int) {
				t.Helper()
				sent := strings.TrimPrefix(run("client", "send", "--location", d.location, "--mib", fmt.Sprint(size)).says(t, "sent "), "sent ")
				for _, l := range listeners {
					l.says(t, "got "+sent)
				}
			}
			send(8) // for what is made once
			growth := d.watchMemory(t)
			send(100)
			if g := growth(); g > memoryLimit {
				t.Errorf("memory grew by %d KiB, want at most %d", g>>10, memoryLimit>>10)
			} else {
				t.Logf("memory grew by %d KiB", g>>10)
			}
			if n := sum(d.metrics(t), "pyro_dispatch_spill_requests_total"); n != 2 {
				t.Errorf("%v requests went to disk", n)
			}
			eventually(t, "no file is left", func() bool { return sum(d.metrics(t), "pyro_dispatch_spill_files") == 0 })
		})
	}
}
