package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Mode is how clients of a route share the connections to daemons.
type Mode string

// The modes.
const (
	ModeSession Mode = "session" // each client has its own connection
	ModeCall    Mode = "call"    // each call gets one
)

// UnmarshalText accepts exactly the modes above.
func (m *Mode) UnmarshalText(text []byte) error {
	return oneOf(m, text, "a mode", ModeSession, ModeCall)
}

// Balance is how an endpoint is chosen.
type Balance string

// The ways to balance.
const (
	BalanceLeastRequest Balance = "least_request"
	BalanceRoundRobin   Balance = "round_robin"
	BalanceHash         Balance = "hash"
)

// UnmarshalText accepts exactly the ways to balance above.
func (b *Balance) UnmarshalText(text []byte) error {
	return oneOf(b, text, "a way to balance", BalanceLeastRequest, BalanceRoundRobin, BalanceHash)
}

// HashBy is what BalanceHash hashes: one of the constants, or an annotation.
type HashBy string

// What can be hashed beside annotations.
const (
	HashByObject   HashBy = "object"
	HashBySource   HashBy = "source"
	HashByBlobInfo HashBy = "blob_info"
)

const hashByAnnotation = "annotation:"

// UnmarshalText accepts the names above, and annotation: with the four
// characters of an annotation.
func (h *HashBy) UnmarshalText(text []byte) error {
	parsed := HashBy(text)
	switch parsed {
	case HashByObject, HashBySource, HashByBlobInfo:
		*h = parsed
		return nil
	}
	id, found := strings.CutPrefix(string(text), hashByAnnotation)
	if !found {
		return fmt.Errorf("%q cannot be hashed by: use object, source, blob_info or annotation:ABCD", text)
	}
	if len(id) != 4 || !isVisibleASCII(id) {
		return fmt.Errorf("%q: an annotation has four characters of ASCII, as in annotation:ABCD", text)
	}
	*h = parsed
	return nil
}

// Annotation returns the four characters of the annotation to hash; ok is
// false where something else is.
func (h HashBy) Annotation() (id string, ok bool) {
	return strings.CutPrefix(string(h), hashByAnnotation)
}

// OnDown is what becomes of the idle sessions of an endpoint that is down.
type OnDown string

// What can become of them.
const (
	OnDownKeep  OnDown = "keep"
	OnDownClose OnDown = "close"
)

// UnmarshalText accepts exactly the names above.
func (o *OnDown) UnmarshalText(text []byte) error {
	return oneOf(o, text, "what to do with sessions", OnDownKeep, OnDownClose)
}

// TimeoutError is what a call that took too long is raised as in the client.
type TimeoutError string

// The classes.
const (
	TimeoutPyro    TimeoutError = "pyro"    // Pyro's own
	TimeoutBuiltin TimeoutError = "builtin" // Python's
)

// UnmarshalText accepts exactly the names above.
func (t *TimeoutError) UnmarshalText(text []byte) error {
	return oneOf(t, text, "a kind of timeout error", TimeoutPyro, TimeoutBuiltin)
}

// Circular is what becomes of a call that closes a circle of calls.
type Circular string

// What can become of it.
const (
	CircularAuto   Circular = "auto"   // rejected where it cannot be served
	CircularReject Circular = "reject" // always rejected
	CircularAllow  Circular = "allow"  // never rejected
)

// UnmarshalText accepts exactly the names above.
func (c *Circular) UnmarshalText(text []byte) error {
	return oneOf(c, text, "a way to treat circular calls", CircularAuto, CircularReject, CircularAllow)
}

// Correlation is what is done with calls that have no correlation id.
type Correlation string

// What can be done.
const (
	CorrelationGenerate Correlation = "generate" // they get one
	CorrelationPreserve Correlation = "preserve" // they stay as they are
)

// UnmarshalText accepts exactly the names above.
func (c *Correlation) UnmarshalText(text []byte) error {
	return oneOf(c, text, "a way to treat correlation ids", CorrelationGenerate, CorrelationPreserve)
}

// DNSType is which records name the daemons.
type DNSType string

// The types of records.
const (
	DNSTypeA   DNSType = "a" // and AAAA
	DNSTypeSRV DNSType = "srv"
)

// UnmarshalText accepts exactly the types above.
func (d *DNSType) UnmarshalText(text []byte) error {
	return oneOf(d, text, "a type of records", DNSTypeA, DNSTypeSRV)
}

// Percent is a part of a hundred, from 0 to 100.
type Percent int

// UnmarshalText accepts a whole number from 0 to 100.
func (p *Percent) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 7)
	if err != nil || n > 100 {
		return fmt.Errorf("%q is not a percentage: write a whole number from 0 to 100", text)
	}
	*p = Percent(n)
	return nil
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

// isVisibleASCII reports whether s consists of ASCII characters that are
// neither control characters nor blanks.
func isVisibleASCII(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
