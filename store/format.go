package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"
)

// maxFile bounds what is read of a file: keys and values as JSON strings may take six
// times their size, and each entry a few more.
const maxFile = 6*maxBytes + 200*maxEntries

const format = "pyro-dispatch store 1"

// document is what a file holds. It is written for people to read, with one entry a
// line.
type document struct {
	Format  string   `json:"format"`
	Version uint64   `json:"version"` // the last that was given
	Entries []record `json:"entries"`
}

// record is one entry. Text is a value or key that is UTF-8; of any other, Base64.
type record struct {
	Key       *string `json:"key,omitempty"`
	KeyBase64 []byte  `json:"key_base64,omitempty"`
	Version   uint64  `json:"version"`
	Value     *string `json:"value,omitempty"`
	Base64    []byte  `json:"value_base64,omitempty"`
}

func encode(s *state) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\"format\":%q,\n\"version\":%d,\n\"entries\":[", format, s.version)
	for i, key := range slices.Sorted(maps.Keys(s.entries)) {
		e := s.entries[key]
		r := record{Version: e.Version}
		if utf8.ValidString(key) {
			r.Key = &key
		} else {
			r.KeyBase64 = []byte(key)
		}
		if text := string(e.Value); utf8.ValidString(text) {
			r.Value = &text
		} else {
			r.Base64 = e.Value
		}
		line, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(line)
	}
	b.WriteString("\n]}\n")
	return b.Bytes(), nil
}

// decode accepts only what encode may have written, but for white space and order:
// what is merely plausible may be half of what was there.
func decode(data []byte, l limits) (*state, error) {
	if len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	if !utf8.Valid(data) {
		return nil, errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var doc document
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is something behind its end")
	}
	if doc.Format != format {
		return nil, fmt.Errorf("its format is %.40q instead of %q", doc.Format, format)
	}
	if doc.Entries == nil {
		return nil, errors.New("it has no entries")
	}
	s := &state{entries: make(map[string]Entry, len(doc.Entries)), version: doc.Version}
	for _, r := range doc.Entries {
		key, value, err := r.entry()
		if err != nil {
			return nil, err
		}
		if _, twice := s.entries[key]; twice {
			return nil, fmt.Errorf("%q is there twice", key)
		}
		if r.Version == 0 || r.Version > doc.Version {
			return nil, fmt.Errorf("%q has version %d of %d", key, r.Version, doc.Version)
		}
		s.entries[key] = Entry{Value: value, Version: r.Version}
		s.bytes += len(key) + len(value)
	}
	if len(s.entries) > l.entries || s.bytes > l.bytes {
		return nil, fmt.Errorf("%w: %d entries of %d bytes", ErrFull, len(s.entries), s.bytes)
	}
	return s, nil
}

func (r record) entry() (key string, value []byte, err error) {
	key, value = string(r.KeyBase64), r.Base64
	if r.Key != nil {
		if key = *r.Key; r.KeyBase64 != nil {
			return "", nil, fmt.Errorf("%.40q has two keys", key)
		}
	} else if r.KeyBase64 == nil {
		return "", nil, errors.New("an entry has no key")
	}
	if r.Value != nil {
		if value = []byte(*r.Value); r.Base64 != nil {
			return "", nil, fmt.Errorf("%.40q has two values", key)
		}
	} else if r.Base64 == nil {
		return "", nil, fmt.Errorf("%.40q has no value", key)
	}
	return key, value, fits(key, value)
}
