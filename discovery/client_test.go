package discovery

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/pace"
)

func TestParseAddress(t *testing.T) {
	tests := []struct {
		text   string
		secure bool
		want   string // scheme host prefix socket, "" where it is refused
	}{
		{"", false, "http 127.0.0.1:8500  "},
		{"", true, "https 127.0.0.1:8500  "},
		{"consul:8500", false, "http consul:8500  "},
		{"consul:8500", true, "https consul:8500  "},
		{"[::1]:8500", false, "http [::1]:8500  "},
		{"http://consul:8500", false, "http consul:8500  "},
		{"https://consul", false, "https consul  "},
		{"https://consul:8501/below/", true, "https consul:8501 /below "},
		{"unix:/run/consul.sock", false, "http localhost  /run/consul.sock"},
		{"unix:///run/consul.sock", false, "http localhost  /run/consul.sock"},
		{"unix:/run/consul.sock", true, ""},
		{"unix:run/consul.sock", false, ""},
		{"http://consul:8500", true, ""},
		{"ftp://consul", false, ""},
		{"http://", false, ""},
		{":8500", false, ""},
		{"http://me:secret@consul", false, ""},
		{"http://consul?token=secret", false, ""},
		{"http://consul#here", false, ""},
		{"consul:no", false, ""},
		{"consul\x00:1", false, ""},
	}
	for _, test := range tests {
		got, err := parseAddress(test.text, test.secure)
		switch {
		case err != nil && test.want != "":
			t.Errorf("%q: %v", test.text, err)
		case err == nil && test.want != got.scheme+" "+got.host+" "+got.prefix+" "+got.socket:
			t.Errorf("%q: got %+v, want %q", test.text, got, test.want)
		}
	}
}

// TestRequests: what is in every request, and that the environment is not.
func TestRequests(t *testing.T) {
	t.Setenv(api.HTTPTokenEnvName, "env-token")
	t.Setenv(api.HTTPTokenFileEnvName, "/nonexistent")
	t.Setenv(api.HTTPNamespaceEnvName, "env-namespace")
	t.Setenv(api.HTTPPartitionEnvName, "env-partition")
	t.Setenv(api.HTTPAddrEnvName, "192.0.2.77:1")
	t.Setenv(api.HTTPSSLEnvName, "true")
	t.Setenv(api.HTTPAuthEnvName, "me:secret")
	tests := []struct {
		name                                     string
		config                                   ClientConfig
		token, namespace, partition, dc, queried string
	}{
		{"nothing", ClientConfig{}, "", "", "", "", ""},
		{"everything", ClientConfig{Token: "t", Namespace: "n", Partition: "p", Datacenter: "d"}, "t", "n", "p", "d", ""},
		{"another datacenter", ClientConfig{Datacenter: "d"}, "", "", "", "e", "e"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeConsul()
			client := f.client(t, test.config)
			s := NewConsul(client, ConsulConfig{Services: []string{"cam"}})
			if _, err := s.ask(t.Context(), "cam", api.QueryOptions{Datacenter: test.queried}); err != nil {
				t.Fatal(err)
			}
			r := f.requests[0]
			q := r.URL.Query()
			got := []string{r.Header.Get("X-Consul-Token"), q.Get("ns"), q.Get("partition"), q.Get("dc"), r.Header.Get("Authorization"), r.URL.Scheme, r.URL.Host}
			want := []string{test.token, test.namespace, test.partition, test.dc, "", "http", "127.0.0.1:8500"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("token, namespace, partition, datacenter, authorization, scheme, host (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) func() {
		return func() {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func() { os.Remove(file) }
	const none = "(none)"
	tests := []struct {
		name  string
		fixed string
		steps []func()
		want  []string
	}{
		{"renewed", "", []func(){write("one\n"), write(" two "), remove, write(""), write("three")}, []string{"one", "two", "two", "two", "three"}},
		{"late", "", []func(){remove, write(""), write("one")}, []string{none, none, "one"}},
		{"late, with another", "fixed", []func(){remove, write(""), write("one"), remove}, []string{"fixed", "fixed", "one", "one"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tokens := &tokens{file: file, fixed: test.fixed}
			for i, step := range test.steps {
				step()
				got, err := tokens.current()
				if errors.Is(err, errToken) {
					got = none
				} else if err != nil {
					t.Error(err)
				}
				if got != test.want[i] {
					t.Errorf("step %d: got %q, want %q", i, got, test.want[i])
				}
			}
		})
	}
	if token, err := (&tokens{fixed: "t"}).current(); token != "t" || err != nil {
		t.Errorf("without a file: %q, %v", token, err)
	}
}

// TestTokenExpires: a new token in the file ends an outage at the next attempt.
func TestTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, l := newFakeConsul(), newListener()
		f.set("cam", entry(1))
		var valid atomic.Value
		valid.Store("old")
		f.answer(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Consul-Token") != valid.Load() {
				http.Error(w, "ACL not found", http.StatusForbidden)
				return
			}
			f.serve(w, r)
		})
		run(t, NewConsul(f.client(t, ClientConfig{TokenFile: file}), ConsulConfig{Services: []string{"cam"}, Events: l.events()}), l.set)
		synctest.Wait()
		valid.Store("new")
		f.change(func() {})
		time.Sleep(time.Hour)
		if failures := l.failed(); failures[ReasonDenied] == 0 || len(failures) != 1 {
			t.Errorf("failures %v", failures)
		}
		if err := os.WriteFile(file, []byte("new"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pace.MaxDelay)
		f.set("cam", entry(1), entry(2))
		synctest.Wait()
		if diff := cmp.Diff([]string{":1", ":1 :2"}, l.take()); diff != "" {
			t.Errorf("memberships set (-want +got):\n%s", diff)
		}
	})
}

// TestTokenFileMissing: nothing is asked in nobody's name.
func TestTokenFileMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, l := newFakeConsul(), newListener()
		client := f.client(t, ClientConfig{TokenFile: filepath.Join(t.TempDir(), "none")})
		run(t, NewConsul(client, ConsulConfig{Services: []string{"cam"}, Events: l.events()}), l.set)
		time.Sleep(time.Minute)
		synctest.Wait()
		if failures := l.failed(); failures[ReasonToken] == 0 || len(failures) != 1 {
			t.Errorf("failures %v", failures)
		}
		if len(f.asked()) > 0 || len(l.take()) > 0 {
			t.Error("Consul was asked, or members were set")
		}
	})
}

// TestRealTransports asks a Consul on each kind of address.
func TestRealTransports(t *testing.T) {
	f := newFakeConsul()
	f.set("cam", entry(1))
	handler := http.HandlerFunc(f.serve)

	plain := httptest.NewServer(handler)
	defer plain.Close()
	socket := filepath.Join(t.TempDir(), "consul.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	unix := &httptest.Server{Listener: ln, Config: &http.Server{Handler: handler}}
	unix.Start()
	defer unix.Close()

	// The certificate of httptest serves as authority, server's and client's.
	secure := httptest.NewUnstartedServer(handler)
	secure.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are meant to
	secure.StartTLS()
	defer secure.Close()
	dir := t.TempDir()
	ca, cert, key := filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	writePEM(t, ca, "CERTIFICATE", secure.Certificate().Raw)
	writePEM(t, cert, "CERTIFICATE", secure.Certificate().Raw)
	der, err := x509.MarshalPKCS8PrivateKey(secure.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, key, "PRIVATE KEY", der)
	address := secure.Listener.Addr().String()

	tests := []struct {
		name   string
		config ClientConfig
		works  bool
	}{
		{"host:port", ClientConfig{Address: plain.Listener.Addr().String()}, true},
		{"http", ClientConfig{Address: plain.URL}, true},
		{"unix", ClientConfig{Address: "unix:" + socket}, true},
		{"TLS", ClientConfig{Address: address, TLS: TLS{CAFile: ca, CertFile: cert, KeyFile: key}}, true},
		{"TLS, server name", ClientConfig{Address: address, TLS: TLS{CAFile: ca, CertFile: cert, KeyFile: key, ServerName: "example.com"}}, true},
		{"TLS, wrong server name", ClientConfig{Address: address, TLS: TLS{CAFile: ca, CertFile: cert, KeyFile: key, ServerName: "consul.lab"}}, false},
		{"TLS, not verified", ClientConfig{Address: "https://" + address, TLS: TLS{InsecureSkipVerify: true, CertFile: cert, KeyFile: key}}, true},
		{"TLS, unknown authority", ClientConfig{Address: "https://" + address, TLS: TLS{CertFile: cert, KeyFile: key}}, false},
		{"TLS, no certificate", ClientConfig{Address: address, TLS: TLS{CAFile: ca}}, false},
		{"nobody there", ClientConfig{Address: "unix:" + socket + ".none"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, err := NewClient(test.config)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			s := NewConsul(client, ConsulConfig{Services: []string{"cam"}})
			a, err := s.ask(t.Context(), "cam", api.QueryOptions{})
			if test.works && (err != nil || !cmp.Equal(a.items, []backend.Member{{Address: backend.Address{Network: "tcp", Addr: "192.0.2.1:1"}, Weight: 1}})) {
				t.Errorf("got %v, %v", a.items, err)
			}
			if !test.works && reasonOf(err) != ReasonUnreachable {
				t.Errorf("error %v, reason %s", err, reasonOf(err))
			}
		})
	}

	for _, bad := range []TLS{{CAFile: dir + "/none"}, {CertFile: cert}, {CertFile: cert, KeyFile: ca}} {
		if _, err := NewClient(ClientConfig{Address: address, TLS: bad}); err == nil {
			t.Errorf("no error for %+v", bad)
		}
	}
	if _, err := NewClient(ClientConfig{Address: "ftp://x"}); !errors.Is(err, errAddress) {
		t.Errorf("error %v", err)
	}
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
