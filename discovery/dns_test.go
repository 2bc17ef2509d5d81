package discovery

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeDNS answers every look-up with what it holds at the time.
type fakeDNS struct {
	mu    sync.Mutex
	ips   []string
	srv   []*net.SRV
	err   error
	hangs bool
	names []string
	at    []time.Time
}

func (f *fakeDNS) asked(ctx context.Context, name string) error {
	f.mu.Lock()
	f.names = append(f.names, name)
	f.at = append(f.at, time.Now())
	hangs, err := f.hangs, f.err
	f.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true}
	}
	return err
}

// change sets what the next look-up is answered with.
func (f *fakeDNS) change(err error, hangs bool, ips ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.hangs, f.ips = err, hangs, ips
}

func (f *fakeDNS) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if err := f.asked(ctx, network+" "+host); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var ips []netip.Addr
	for _, ip := range f.ips {
		ips = append(ips, netip.MustParseAddr(ip))
	}
	return ips, nil
}

func (f *fakeDNS) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if service != "" || proto != "" {
		panic("the name is not looked up as it is")
	}
	err := f.asked(ctx, "srv "+name)
	return name, f.srv, err
}

var (
	errNoSuchHost = &net.DNSError{Err: "no such host", Name: "daemons.lab", IsNotFound: true}
	errServFail   = &net.DNSError{Err: "server misbehaving", Name: "daemons.lab", IsTemporary: true}
)

// startDNS runs a source that looks up the name.
func startDNS(t *testing.T, f *fakeDNS, name string, srv bool) *listener {
	t.Helper()
	l := newListener()
	s, err := NewDNS(DNSConfig{Cluster: "lab", Name: name, SRV: srv, Resolver: f, Log: l.log, Events: l.events()})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s, l.set)
	return l
}

// TestDNSRecords reads answers of every kind.
func TestDNSRecords(t *testing.T) {
	invalid := &net.DNSError{Err: "invalid names", Name: "_pyro._tcp.lab"}
	tests := []struct {
		name    string
		dns     *fakeDNS
		srv     bool
		want    []string
		skipped int
		failed  map[Reason]int
	}{
		{name: "A and AAAA", dns: &fakeDNS{ips: []string{"192.0.2.12", "2001:db8::1", "192.0.2.11"}}, want: []string{"1:5555 2:5555 [2001:db8::1]:5555"}},
		{name: "mapped, twice", dns: &fakeDNS{ips: []string{"::ffff:192.0.2.11", "192.0.2.11"}}, want: []string{"1:5555"}},
		{name: "blocked with 0.0.0.0", dns: &fakeDNS{ips: []string{"0.0.0.0", "192.0.2.11"}}, want: []string{"1:5555"}, skipped: 1},
		{name: "only 0.0.0.0", dns: &fakeDNS{ips: []string{"0.0.0.0"}}, failed: map[Reason]int{ReasonNonsense: 1}},
		{name: "fails", dns: &fakeDNS{err: errServFail}, failed: map[Reason]int{ReasonServer: 1}},
		{name: "does not exist", dns: &fakeDNS{err: errNoSuchHost}, failed: map[Reason]int{ReasonNotFound: 1}},
		{name: "SRV", srv: true, dns: &fakeDNS{srv: []*net.SRV{
			{Target: "b.lab.", Port: 2, Priority: 1, Weight: 30},
			{Target: "a.lab.", Port: 1, Priority: 1, Weight: 0},
			{Target: "c.lab.", Port: 3, Priority: 2, Weight: 99},
		}}, want: []string{"a.lab:1 b.lab:2*30"}},
		{name: "SRV, not offered", srv: true, dns: &fakeDNS{srv: []*net.SRV{{Target: ".", Port: 0}}}, want: []string{""}},
		{name: "SRV, no port", srv: true, dns: &fakeDNS{srv: []*net.SRV{
			{Target: "a.lab.", Port: 0}, {Target: "b.lab.", Port: 2, Weight: 1},
		}}, want: []string{"b.lab:2"}, skipped: 1},
		{name: "SRV, some invalid", srv: true, dns: &fakeDNS{err: invalid, srv: []*net.SRV{{Target: "b.lab.", Port: 2, Weight: 1}}}, want: []string{"b.lab:2"}, skipped: 1},
		{name: "SRV, all invalid", srv: true, dns: &fakeDNS{err: invalid}, failed: map[Reason]int{ReasonServer: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				name, query := "daemons.lab:5555", "ip daemons.lab"
				if test.srv {
					name, query = "_pyro._tcp.lab", "srv _pyro._tcp.lab"
				}
				l := startDNS(t, test.dns, name, test.srv)
				synctest.Wait()
				if diff := cmp.Diff(test.want, l.take()); diff != "" {
					t.Errorf("memberships set (-want +got):\n%s", diff)
				}
				if test.failed == nil {
					test.failed = map[Reason]int{}
				}
				if diff := cmp.Diff(test.failed, l.failed()); diff != "" {
					t.Errorf("failures (-want +got):\n%s", diff)
				}
				if l.skipped != test.skipped {
					t.Errorf("%d skipped, want %d", l.skipped, test.skipped)
				}
				if test.dns.names[0] != query {
					t.Errorf("looked up %q", test.dns.names)
				}
			})
		})
	}
}

// TestDNSFollows: names are looked up again, and a failure keeps the members.
func TestDNSFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDNS{ips: []string{"192.0.2.11"}}
		l := startDNS(t, f, "daemons.lab:5555", false)
		wants := func(when string, after time.Duration, want ...string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if diff := cmp.Diff(want, l.take()); diff != "" {
				t.Errorf("%s: memberships set (-want +got):\n%s", when, diff)
			}
		}
		wants("at first", 0, "1:5555")
		f.change(nil, false, "192.0.2.12")
		wants("changed", 32*time.Second, "2:5555")
		f.change(errServFail, false)
		wants("fails", time.Hour)
		f.change(nil, true)
		wants("hangs", time.Hour)
		f.change(nil, false, "192.0.2.12")
		wants("answers again", 32*time.Second)

		f.change(errNoSuchHost, false)
		wants("does not exist", defaultDNSGrace)
		f.change(errServFail, false)
		wants("fails after that", time.Minute)
		f.change(errNoSuchHost, false)
		wants("does not exist, anew", defaultDNSGrace)
		wants("still not", time.Minute, "")
		f.change(nil, false, "192.0.2.12")
		wants("exists again", 32*time.Second, "2:5555")

		if failures := l.failed(); failures[ReasonServer] == 0 || failures[ReasonTimeout] == 0 || failures[ReasonNotFound] == 0 {
			t.Errorf("failures %v", failures)
		}
		if n := l.messages()["discovery can ask again"]; n != 2 {
			t.Errorf("%d ends of outages logged, want 2", n)
		}
	})
}

// TestDNSInterval: look-ups are an interval apart, more or less.
func TestDNSInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDNS{ips: []string{"192.0.2.11"}}
		startDNS(t, f, "daemons.lab:5555", false)
		time.Sleep(time.Hour)
		synctest.Wait()
		different := false
		for i := 1; i < len(f.at); i++ {
			d := f.at[i].Sub(f.at[i-1])
			if d < defaultInterval*95/100 || d > defaultInterval*105/100 {
				t.Errorf("%v between look-ups", d)
			}
			different = different || d != f.at[1].Sub(f.at[0])
		}
		if len(f.at) < 100 || !different {
			t.Errorf("%d look-ups in an hour, different: %v", len(f.at), different)
		}
	})
}

func TestNewDNS(t *testing.T) {
	tests := []struct {
		name string
		srv  bool
		ok   bool
	}{
		{"daemons.lab:5555", false, true},
		{"192.0.2.1:5555", false, true},
		{"[2001:db8::1]:5555", false, true},
		{"_pyro._tcp.lab", true, true},
		{"daemons.lab", false, false},
		{"daemons.lab:0", false, false},
		{"daemons.lab:pyro", false, false},
		{":5555", false, false},
		{"_pyro._tcp.lab:5555", true, false},
		{"192.0.2.1", true, false},
		{"", true, false},
	}
	for _, test := range tests {
		if _, err := NewDNS(DNSConfig{Name: test.name, SRV: test.srv}); (err == nil) != test.ok {
			t.Errorf("%q, SRV %v: %v", test.name, test.srv, err)
		}
	}
}
