package tracing

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// appendServer adds where an endpoint is; "" is none.
func appendServer(to []attribute.KeyValue, address string) []attribute.KeyValue {
	if address == "" {
		return to
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return append(to, semconv.NetworkTransportUnix, semconv.ServerAddress(path))
	}
	host, port, ok := splitAddress(address)
	if !ok {
		return append(to, semconv.ServerAddress(address))
	}
	return append(to, semconv.NetworkTransportTCP, semconv.ServerAddress(host), semconv.ServerPort(port))
}

// appendPeer adds what is at the other end of the connection, if address says
// it: a name does not.
func appendPeer(to []attribute.KeyValue, address string) []attribute.KeyValue {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return append(to, semconv.NetworkPeerAddress(path))
	}
	host, port, ok := splitAddress(address)
	if !ok {
		return to
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return to
	}
	return append(to, semconv.NetworkPeerAddress(host), semconv.NetworkPeerPort(port))
}

func splitAddress(address string) (host string, port int, ok bool) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, false
	}
	port, err = strconv.Atoi(text)
	return host, port, err == nil
}
