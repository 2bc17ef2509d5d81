package discovery

import "github.com/hashicorp/consul/api"

// KV is the client's way to Consul's keys and values, with all that ClientConfig
// says of address, token, TLS and place. It is safe for concurrent use.
func (c *Client) KV() *api.KV { return c.api.KV() }
