package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// TestServerType has the dispatcher ask real daemons what kind of server they are, with health
// checks and without.
func TestServerType(t *testing.T) {
	for _, enabled := range []bool{true, false} {
		for _, serializer := range []string{"serpent", "json", "marshal", "msgpack"} {
			want := map[string]string{}
			yaml := "admin: {address: \"127.0.0.1:0\"}\nlisteners: [{address: \"127.0.0.1:0\"}]\nroutes: [{cluster: all}]\nclusters:\n- name: all\n" +
				fmt.Sprintf("  health_check: {enabled: %v, serializer: %s}\n  static:\n", enabled, serializer)
			for _, lib := range []string{"pyro4", "pyro5"} {
				for _, kind := range []string{"thread", "multiplex"} {
					d := startDaemon(t, lib, "--servertype", kind)
					want[d.backend()] = kind
					yaml += fmt.Sprintf("  - %q\n", d.backend())
				}
			}
			d := startConfigured(t, yaml)
			deadline := time.Now().Add(patience)
			for {
				got := serverTypes(t, d, "all")
				if fmt.Sprint(got) == fmt.Sprint(want) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s, checks: %v: %v, want %v", serializer, enabled, got, want)
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
}

func serverTypes(t *testing.T, d *running, cluster string) map[string]string {
	t.Helper()
	resp, err := http.Get("http://" + d.admin + "/api/clusters/" + cluster)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var status struct {
		Endpoints []struct {
			Address    string `json:"address"`
			ServerType string `json:"server_type"`
		} `json:"endpoints"`
	}
	if err := json.Unmarshal(body, &status); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range status.Endpoints {
		got[e.Address] = e.ServerType
	}
	return got
}
