package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// doubting asks once more, and strictly, where a look-up says that there is no such
// name. Go's resolver says that also when the question for addresses of IPv4 failed and
// there are none of IPv6, or the name itself failed and is none in a search domain;
// StrictErrors makes a failure of these. To ask strictly from the start would find
// nothing where name servers fail at all questions for IPv6.
type doubting struct{ resolver, strict Resolver }

func resolver(r *net.Resolver) doubting {
	return doubting{r, &net.Resolver{PreferGo: r.PreferGo, Dial: r.Dial, StrictErrors: true}}
}

func (d doubting) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	ips, err := d.resolver.LookupNetIP(ctx, network, host)
	if notFound(err) {
		return d.strict.LookupNetIP(ctx, network, host)
	}
	return ips, err
}

func (d doubting) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	cname, records, err := d.resolver.LookupSRV(ctx, service, proto, name)
	if notFound(err) {
		return d.strict.LookupSRV(ctx, service, proto, name)
	}
	return cname, records, err
}

// notFound reports whether an error says that there is no such name.
func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound && !dns.IsTimeout && !dns.IsTemporary
}
