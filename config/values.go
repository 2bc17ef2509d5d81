package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Every value that a file, flag or environment variable gives as text has one
// parser here, in address.go or in pattern.go. Their errors are sentences
// about the text; the caller adds the place.

// Level is the least severe log level that is written.
type Level string

// The log levels, in ascending severity.
const (
	LevelDebug Level = "debug"
	LevelInfo  Level = "info"
	LevelWarn  Level = "warn"
	LevelError Level = "error"
)

// UnmarshalText accepts exactly the level names above.
func (l *Level) UnmarshalText(text []byte) error {
	return oneOf(l, text, "a log level", LevelDebug, LevelInfo, LevelWarn, LevelError)
}

// Format is how a log line is written.
type Format string

// The log formats.
const (
	FormatJSON    Format = "json"
	FormatConsole Format = "console"
)

// UnmarshalText accepts exactly the format names above.
func (f *Format) UnmarshalText(text []byte) error {
	return oneOf(f, text, "a log format", FormatJSON, FormatConsole)
}

// Dialect is the protocol version of Pyro4 (48) or Pyro5 (502), as it stands
// in every message header; 0 means that none was given.
type Dialect uint16

// The two dialects.
const (
	Pyro4 Dialect = 48
	Pyro5 Dialect = 502
)

// UnmarshalText accepts the name of a dialect or its number.
func (d *Dialect) UnmarshalText(text []byte) error {
	switch string(text) {
	case "pyro4", "48":
		*d = Pyro4
	case "pyro5", "502":
		*d = Pyro5
	default:
		return fmt.Errorf("%q is not a dialect: use pyro4 (or 48) or pyro5 (or 502)", text)
	}
	return nil
}

// String returns the dialect's name: "pyro4", "pyro5", or "" when none was
// given.
func (d Dialect) String() string {
	switch d {
	case 0:
		return ""
	case Pyro4:
		return "pyro4"
	case Pyro5:
		return "pyro5"
	default:
		return strconv.Itoa(int(d))
	}
}

// Serializer is a serializer by its name. Names are used because the numbers
// in message headers mean different serializers in the two dialects.
type Serializer string

// The serializers. Pyro5 knows the first four only.
const (
	Serpent     Serializer = "serpent"
	JSON        Serializer = "json"
	Marshal     Serializer = "marshal"
	Msgpack     Serializer = "msgpack"
	Pickle      Serializer = "pickle"
	Dill        Serializer = "dill"
	Cloudpickle Serializer = "cloudpickle"
)

// UnmarshalText accepts exactly the serializer names above.
func (s *Serializer) UnmarshalText(text []byte) error {
	return oneOf(s, text, "a serializer", Serpent, JSON, Marshal, Msgpack, Pickle, Dill, Cloudpickle)
}

// spokenBy reports whether any message of dialect d can use the serializer.
func (s Serializer) spokenBy(d Dialect) bool {
	switch s {
	case Pickle, Dill, Cloudpickle:
		return d == Pyro4
	default:
		return true
	}
}

func oneOf[T ~string](dst *T, text []byte, kind string, choices ...T) error {
	names := make([]string, len(choices))
	for i, choice := range choices {
		if string(text) == string(choice) {
			*dst = choice
			return nil
		}
		names[i] = string(choice)
	}
	last := len(names) - 1
	return fmt.Errorf("%q is not %s: use %s or %s", text, kind, strings.Join(names[:last], ", "), names[last])
}

// Size is a number of bytes.
type Size int64

// The units that a size may be written in.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

// UnmarshalText accepts a whole number of bytes, or of KiB, MiB or GiB:
// "65536", "64KiB".
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := string(text), Size(1)
	for _, u := range []struct {
		suffix string
		size   Size
	}{{"KiB", KiB}, {"MiB", MiB}, {"GiB", GiB}} {
		if rest, found := strings.CutSuffix(number, u.suffix); found {
			number, unit = rest, u.size
			break
		}
	}
	if !allDigits(number) {
		return fmt.Errorf("%q is not a size: write bytes as in 65536, or a whole number of KiB, MiB or GiB as in 64KiB", text)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > math.MaxInt64/int64(unit) {
		return fmt.Errorf("%q is too large", text)
	}
	*s = Size(n) * unit
	return nil
}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	switch {
	case s == 0:
		return "0"
	case s%GiB == 0:
		return strconv.FormatInt(int64(s/GiB), 10) + "GiB"
	case s%MiB == 0:
		return strconv.FormatInt(int64(s/MiB), 10) + "MiB"
	case s%KiB == 0:
		return strconv.FormatInt(int64(s/KiB), 10) + "KiB"
	default:
		return strconv.FormatInt(int64(s), 10)
	}
}

// parseDuration accepts what time.ParseDuration does. Its own error does not
// say what a bare number lacks, which is the usual mistake.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err == nil:
		return d, nil
	case allDigits(text):
		return 0, fmt.Errorf("%q has no unit: write %ss or %sms", text, text, text)
	default:
		return 0, fmt.Errorf("%q is not a duration: write a number and a unit, as in 500ms, 30s or 5m", text)
	}
}

// parseSeconds accepts a number of seconds as Python's float does, and Pyro for
// its COMMTIMEOUT. 0 is none.
func parseSeconds(text string) (time.Duration, error) {
	number := strings.TrimSpace(text)
	seconds, err := strconv.ParseFloat(number, 64)
	if errors.Is(err, strconv.ErrRange) {
		err = nil // it is infinite, as in Python
	}
	if err != nil || math.IsNaN(seconds) || strings.ContainsAny(number, "xX") {
		return 0, fmt.Errorf("%q is not a number of seconds: write it as Pyro has it, as in 30 or 1.5", text)
	}
	const least, most = minTimeout, maxCall
	switch {
	case seconds < 0:
		return 0, fmt.Errorf("%q is negative", text)
	case seconds > most.Seconds():
		return 0, fmt.Errorf("%q is too long: at most %g, or 0 for none", text, most.Seconds())
	case seconds > 0 && seconds < least.Seconds():
		return 0, fmt.Errorf("%q is too short: at least %g, or 0 for none", text, least.Seconds())
	}
	return time.Duration(math.Round(seconds * float64(time.Second))), nil
}

// parsePrefix accepts a network in CIDR form, or an address for the network
// that holds it alone. What would never match is an error: bits beyond the
// prefix are the sign of another network than the one meant, and an IPv4
// address is compared as one, never in its IPv6-mapped form.
func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is not a network: write it as in 10.0.0.0/8, ::1/128 or 10.1.2.3", text)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 network in IPv6 form: write it as IPv4", text)
	}
	if masked := p.Masked(); masked != p {
		return netip.Prefix{}, fmt.Errorf("%q has bits set beyond its prefix: write %s", text, masked)
	}
	return p, nil
}

// parseCount accepts a plain whole number, as max_sessions is one.
func parseCount(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%q is too large", text)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return n, nil
}

func allDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
