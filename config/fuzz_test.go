package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// Load must refuse or accept, and what it accepts must be fit to be asked
// about.
func FuzzLoad(f *testing.F) {
	seedsMustExist(f)
	for _, pattern := range []string{"testdata/bad/*.yaml", "../*.example.yaml"} {
		names, _ := filepath.Glob(pattern)
		if len(names) == 0 {
			f.Fatalf("%s: no such files", pattern)
		}
		for _, name := range names {
			doc, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(doc)
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := config.Load("fuzz.yaml", doc)
		if err != nil {
			var problems config.Problems
			if !errors.As(err, &problems) || len(problems) == 0 || c != nil {
				t.Fatalf("got %v and %T %v, want nil and Problems", c, err, err)
			}
			inOrder(t, problems)
			return
		}
		problems := c.Validate()
		inOrder(t, problems)
		if len(problems) > 0 {
			return
		}
		// A valid configuration holds what the rest of the program takes for
		// granted.
		clusters := make(map[string]bool)
		for _, cluster := range c.Clusters {
			clusters[cluster.Name] = true
			if len(cluster.Static) == 0 && cluster.DNS.Name == "" && len(cluster.Consul.Service) == 0 && cluster.NameServer.Address.IsZero() {
				t.Errorf("cluster %q is empty", cluster.Name)
			}
			b := c.BoundsOf(&cluster)
			if most := b.MaxConnections; most > 0 && (b.NestedReserve >= most || b.MaxPinned < 1 || b.MaxPinned >= max(2, most)) {
				t.Errorf("cluster %q has bounds %+v", cluster.Name, b)
			}
		}
		for _, r := range c.Routes {
			if r.Name == "" || !clusters[r.Cluster] && (r.Cluster != "" || r.Answer.IsZero()) {
				t.Errorf("route %q has no cluster: %q", r.Name, r.Cluster)
			}
			callsAreGood(t, &r)
		}
		for _, l := range c.Listeners {
			if l.Name == "" || l.Address.IsZero() {
				t.Errorf("listener %q at %q", l.Name, l.Address)
			}
		}
		namesAreGood(t, c)
	})
}

// callsAreGood checks what is taken for granted of routes for calls.
func callsAreGood(t *testing.T, r *config.Route) {
	if (r.Match.PerCall() || !r.Answer.IsZero()) && r.Mode != config.ModeCall {
		t.Errorf("route %q for calls has mode %q", r.Name, r.Mode)
	}
	if !r.Answer.IsZero() && (r.Match.PerCall() || len(r.Match.Object) == 0) {
		t.Errorf("route %q answers what no CONNECT names", r.Name)
	}
	if n, ok := r.Wait.Quorum(); ok && (n < 1 || r.Delivery != config.DeliverAll) {
		t.Errorf("route %q waits for %d with delivery %s", r.Name, n, r.Delivery)
	}
	for _, c := range append(r.Match.Blob, r.Match.Annotation...) {
		if c.Key == "" || len(c.Any) == 0 {
			t.Errorf("route %q asks for nothing: %+v", r.Name, c)
		}
	}
}

// namesAreGood checks what is taken for granted of name server, topics and ports.
func namesAreGood(t *testing.T, c *config.Config) {
	for i, l := range c.NameServer.Listeners {
		if l.Name == "" || l.Address.Network != "tcp" || c.NamesListener() == nil {
			t.Errorf("the name server's listener %q at %q, through %v", l.Name, l.Address, c.NamesListener())
		}
		_ = c.BroadcastAddress(i)
	}
	for _, s := range []config.Storage{c.NamesStorage(), c.TopicsStorage(), c.PortsStorage()} {
		if s.Kind == config.StorageConsul && s.Prefix == "" || s.Kind == config.StorageFile && s.Path == "" {
			t.Errorf("nothing can be stored in %+v", s)
		}
	}
	for i := range c.Clusters {
		if cluster := &c.Clusters[i]; cluster.Expose == config.ExposePerEndpoint && (cluster.Ports.Count() < 1 || c.ExposeThrough(cluster) == nil) {
			t.Errorf("cluster %q has ports %q", cluster.Name, cluster.Ports)
		}
	}
}

func inOrder(t *testing.T, problems config.Problems) {
	line, without := 0, false
	for _, p := range problems {
		if p.File != "fuzz.yaml" || p.Text == "" {
			t.Errorf("%#v does not say where or what", p)
		}
		if without = without || p.Line == 0; !without && p.Line < line || without && p.Line != 0 {
			t.Errorf("line %d comes after line %d", p.Line, line)
		}
		line = p.Line
	}
}

// An address has one spelling, and that one is read back as the same address.
func FuzzParseAddress(f *testing.F) {
	seedsMustExist(f)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := config.ParseAddress(text)
		if err != nil {
			return
		}
		again, err := config.ParseAddress(a.String())
		if err != nil || again != a {
			t.Errorf("%q is %+v, which is written %q, which is %+v (%v)", text, a, a, again, err)
		}
	})
}

// An address of Consul is read back as the same one, too.
func FuzzParseConsulAddress(f *testing.F) {
	seedsMustExist(f)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := config.ParseConsulAddress(text)
		if err != nil {
			return
		}
		again, err := config.ParseConsulAddress(a.String())
		if err != nil || again != a {
			t.Errorf("%q is %+v, which is written %q, which is %+v (%v)", text, a, a, again, err)
		}
	})
}

// seedsMustExist fails a fuzz target whose committed corpus is gone: it would
// pass without having tried anything of interest.
func seedsMustExist(f *testing.F) {
	f.Helper()
	dir := filepath.Join("testdata", "fuzz", f.Name())
	if seeds, err := os.ReadDir(dir); err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds in %s (%v)", dir, err)
	}
}
