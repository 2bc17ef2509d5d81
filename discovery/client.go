package discovery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// TLS is how a Consul that speaks HTTPS is verified, and how it verifies us.
type TLS struct {
	CAFile             string // instead of the system's authorities
	CertFile, KeyFile  string // of the client; read anew at each connection
	ServerName         string // instead of the address's host
	InsecureSkipVerify bool
}

// ClientConfig says how to reach Consul.
type ClientConfig struct {
	// Address is host:port or unix:/path, or a URL of http or https. Empty is
	// 127.0.0.1:8500. With TLS, host:port is spoken to in HTTPS.
	Address string
	Token   string // ACL token; may be empty
	// TokenFile holds the ACL token. It is read for every request, of which
	// there are few: so a token that was renewed counts as soon as Consul
	// refuses the old one, after a reconnect, and always. While the file cannot
	// be read or is empty, the last token counts, or Token.
	TokenFile  string
	Datacenter string // the agent's own where empty
	Namespace  string // Consul Enterprise
	Partition  string // Consul Enterprise
	TLS        TLS
}

const (
	// defaultWait is how long Consul may keep a query that has no news. It is
	// shorter than Consul's 5 minutes, since it bounds for how long a Consul
	// that hangs goes unnoticed, and one that is served from a stale view.
	defaultWait = time.Minute
	// slack is what a request may take beside the time it is kept.
	slack = 10 * time.Second

	// maxAnswer bounds an answer. A thousand instances are about a megabyte.
	maxAnswer = 64 << 20
)

// Client asks one Consul agent. It is safe for concurrent use, by any number of
// sources. Each that runs keeps one connection per service and datacenter, of
// which an agent grants a client address 200 (limits.http_max_conns_per_client).
type Client struct {
	api   *api.Client
	base  http.RoundTripper
	wait  time.Duration
	limit int64 // of an answer

	tokens               *tokens
	namespace, partition string
}

// NewClient makes a Client. It connects to nothing yet; an error is one of the
// configuration.
func NewClient(c ClientConfig) (*Client, error) {
	target, err := parseAddress(c.Address, c.TLS != TLS{})
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext:         target.dial,
		TLSHandshakeTimeout: slack,
		MaxIdleConnsPerHost: 64, // watches return their connections for a moment only
		IdleConnTimeout:     90 * time.Second,
	}
	if target.scheme == "https" {
		if transport.TLSClientConfig, err = tlsConfig(c.TLS); err != nil {
			return nil, fmt.Errorf("consul: TLS: %w", err)
		}
	}
	return newClient(c, target, transport)
}

func newClient(c ClientConfig, target target, base http.RoundTripper) (*Client, error) {
	cl := &Client{
		base:      base,
		wait:      defaultWait,
		limit:     maxAnswer,
		tokens:    &tokens{file: c.TokenFile, fixed: c.Token},
		namespace: c.Namespace,
		partition: c.Partition,
	}
	var err error
	// The library fills in what it is not given from the environment, and that
	// is for the caller to decide: so it is given something, and RoundTrip puts
	// in what is meant.
	cl.api, err = api.NewClient(&api.Config{
		Address:    target.host,
		Scheme:     target.scheme,
		PathPrefix: target.prefix,
		Datacenter: c.Datacenter,
		Namespace:  "-",
		Partition:  "-",
		Token:      "-",
		HttpClient: &http.Client{
			Transport: cl,
			// An agent redirects only what it was not asked for, and the token
			// is for nobody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	if err != nil {
		return nil, fmt.Errorf("consul: %w", err)
	}
	return cl, nil
}

// Close closes the connections that are not in use.
func (c *Client) Close() {
	if t, ok := c.base.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// RoundTrip is http.RoundTripper's: every request of the library comes by here.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := c.tokens.current()
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	if r.Header.Del("X-Consul-Token"); token != "" {
		r.Header.Set("X-Consul-Token", token)
	}
	query := r.URL.Query()
	for key, value := range map[string]string{"ns": c.namespace, "partition": c.partition} {
		if query.Del(key); value != "" {
			query.Set(key, value)
		}
	}
	r.URL.RawQuery = query.Encode()
	resp, err := c.base.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, c.limit)
	}
	return resp, err
}

// bounded returns a context for one request that Consul may keep for wait. It
// adds to that up to a sixteenth, by chance.
func bounded(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, wait+wait/16+slack)
}

// guarded calls the library, which panics at some answers: as of 1.34, at a
// check whose Definition is null.
func guarded(ask func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: it cannot be read: %v", errNonsense, p)
		}
	}()
	return ask()
}

// target is where requests go.
type target struct {
	scheme, host, prefix string
	socket               string // instead of host, for unix
}

func (t target) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: slack, KeepAlive: 15 * time.Second}
	if t.socket != "" {
		return d.DialContext(ctx, "unix", t.socket)
	}
	return d.DialContext(ctx, network, address)
}

var errAddress = errors.New("consul: not an address: write host:port, unix:/path, http://host:port or https://host:port")

func parseAddress(text string, secure bool) (target, error) {
	if text == "" {
		text = "127.0.0.1:8500"
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if !strings.HasPrefix(path, "/") {
			return target{}, fmt.Errorf("%w: %q", errAddress, text)
		}
		if secure {
			return target{}, fmt.Errorf("consul: TLS is not spoken on a Unix socket: %q", text)
		}
		return target{scheme: "http", host: "localhost", socket: path}, nil
	}
	if !strings.Contains(text, "://") {
		scheme := "http"
		if secure {
			scheme = "https"
		}
		text = scheme + "://" + text
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return target{}, fmt.Errorf("%w: %q", errAddress, text)
	}
	if secure && u.Scheme == "http" {
		return target{}, fmt.Errorf("consul: TLS is configured, but %q is not https", text)
	}
	return target{scheme: u.Scheme, host: u.Host, prefix: strings.TrimSuffix(u.Path, "/")}, nil
}

func tlsConfig(c TLS) (*tls.Config, error) {
	config, err := api.SetupTLSConfig(&api.TLSConfig{
		Address:            c.ServerName,
		CAFile:             c.CAFile,
		CertFile:           c.CertFile,
		KeyFile:            c.KeyFile,
		InsecureSkipVerify: c.InsecureSkipVerify,
	})
	if err != nil {
		return nil, err
	}
	if c.CertFile != "" {
		config.Certificates = nil
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			return &cert, err
		}
	}
	return config, nil
}
