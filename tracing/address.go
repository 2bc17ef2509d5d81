package tracing

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// serverAttributes says where an endpoint is; "" is none.
func serverAttributes(address string) []attribute.KeyValue {
	if address == "" {
		return nil
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return []attribute.KeyValue{semconv.NetworkTransportUnix, semconv.ServerAddress(path)}
	}
	host, port, ok := splitAddress(address)
	if !ok {
		return []attribute.KeyValue{semconv.ServerAddress(address)}
	}
	return []attribute.KeyValue{semconv.NetworkTransportTCP, semconv.ServerAddress(host), semconv.ServerPort(port)}
}

// peerAttributes says what is at the other end of the connection, if address
// does: a name does not.
func peerAttributes(address string) []attribute.KeyValue {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return []attribute.KeyValue{semconv.NetworkPeerAddress(path)}
	}
	host, port, ok := splitAddress(address)
	if !ok {
		return nil
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return nil
	}
	return []attribute.KeyValue{semconv.NetworkPeerAddress(host), semconv.NetworkPeerPort(port)}
}

func splitAddress(address string) (host string, port int, ok bool) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, false
	}
	port, err = strconv.Atoi(text)
	return host, port, err == nil
}
