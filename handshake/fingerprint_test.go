package handshake

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// answer is one CONNECTOK payload of a real daemon, as testdata/connectok.py writes it.
type answer struct {
	Name       string
	Payload    []byte
	Compressed bool
	Group      string // shared by the answers that hold the same strings
}

func answers(tb testing.TB, f wire.Serializer) []answer {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "connectok", f.String(), "*.jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	var all []answer
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
			var a answer
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
				tb.Fatalf("%s: %v", name, err)
			}
			a.Name = filepath.Base(name) + "/" + a.Name
			all = append(all, a)
		}
	}
	if len(all) < 35 {
		tb.Fatalf("%d answers in %s: run testdata/connectok.py", len(all), f)
	}
	return all
}

// Daemons that offer the same have the same print, in whatever order, format, protocol and library they say it. Others do not.
func TestFingerprintAnswers(t *testing.T) {
	prints := make(map[string]Print)
	for _, f := range formats {
		bytesOf := make(map[string]map[string]bool) // the different payloads of each group
		for _, a := range answers(t, f) {
			got, err := Fingerprint(f, a.Compressed, a.Payload, Limits{})
			if err != nil {
				t.Errorf("%s: %v", a.Name, err)
				continue
			}
			if want, ok := prints[a.Group]; !ok {
				prints[a.Group] = got
			} else if got != want {
				t.Errorf("%s: got %x, want %x as the others that are %q", a.Name, got, want, a.Group)
			}
			if bytesOf[a.Group] == nil {
				bytesOf[a.Group] = make(map[string]bool)
			}
			bytesOf[a.Group][string(a.Payload)] = true
		}
		if len(bytesOf["base"]) < 6 {
			t.Errorf("%s: the hash seeds make %d different payloads, too few to tell anything", f, len(bytesOf["base"]))
		}
	}
	seen := make(map[Print]string)
	for group, p := range prints {
		if other, ok := seen[p]; ok {
			t.Errorf("%q has the print of %q", group, other)
		}
		seen[p] = group
	}
	if len(prints) != 14 {
		t.Errorf("%d groups, want 14", len(prints))
	}
}

// What a real Python writes can be read, to its end, whatever is in it.
func TestFingerprintCorpus(t *testing.T) {
	for _, f := range formats {
		t.Run(f.String(), func(t *testing.T) {
			for _, s := range corpus(t, f) {
				if _, err := Fingerprint(f, s.Compressed, s.Payload, Limits{}); err != nil {
					t.Errorf("%s: %v", s.Name, err)
				}
				if len(s.Payload) > 400 {
					continue // as in TestCorpusTruncated
				}
				for n := range s.Payload {
					if got, err := Fingerprint(f, s.Compressed, s.Payload[:n], Limits{}); !errors.Is(err, ErrMalformed) || got != (Print{}) {
						t.Fatalf("%s: the first %d of %d bytes: got %x, %v, want ErrMalformed", s.Name, n, len(s.Payload), got, err)
					}
				}
			}
		})
	}
}

// Each payload holds just the strings that are listed.
func TestFingerprintStrings(t *testing.T) {
	const half = "\xed\xa0\xbd" // of a surrogate pair, U+D83D
	cases := []struct {
		name    string
		format  wire.Serializer
		payload string
		strings []string
	}{
		{"none", wire.Serpent, "None", nil},
		{"a string", wire.Serpent, "'a'", []string{"a"}},
		{"empty ones", wire.Serpent, "['', b'', ()]", []string{"", ""}},
		{"numbers and their like", wire.Serpent, "[1, -2.5e3, 1+2j, True, None, set()]", nil},
		{"keys, repeated", wire.Serpent, "{'a': 1, 'a': ('b',), 2: {'c'}}", []string{"a", "a", "b", "c"}},
		{"bytes", wire.Serpent, `[b'a\xff', 'a']`, []string{"a\xff", "a"}},
		{"escapes", wire.Serpent, `['\x61\142\n', "\u00e9", r'\x61', '''it's''']`, []string{"ab\n", "é", `\x61`, "it's"}},
		{"joined", wire.Serpent, "['a' 'b'\n#'c'\n'd', 'e']", []string{"abd", "e"}},
		{"parentheses", wire.Serpent, "(('a'))", []string{"a"}},
		{"surrogates", wire.Serpent, `['\ud83d', '\ud83d\ude00', '\U0001f600']`, []string{half, half + "\xed\xb8\x80", "😀"}},
		{"none", wire.JSON, "null", nil},
		{"numbers and their like", wire.JSON, "[1, -2.5e3, NaN, true, null]", nil},
		{"keys, repeated", wire.JSON, `{"a": 1, "a": ["b"]}`, []string{"a", "a", "b"}},
		{"escapes", wire.JSON, `["\u0061\n\/\"", "\u00e9", "é"]`, []string{"a\n/\"", "é", "é"}},
		{"surrogates", wire.JSON, `["\ud83d", "\ud83d\ude00", "\ud83d\u0061", "\ud83d\ud83d\ude00"]`, []string{half, "😀", half + "a", half + "😀"}},
		{"none", wire.Msgpack, "\xc0", nil},
		{"extensions", wire.Msgpack, "\x93\xd4\x01a\xc7\x02\x05ab\xa1a", []string{"a"}},
		{"text and bytes", wire.Msgpack, "\x82\xa1a\xc4\x01a\xc4\x01b\xd9\x01a", []string{"a", "a", "b", "a"}},
		{"none", wire.Marshal, "N", nil},
		{"what follows", wire.Marshal, "z\x01az\x01b", []string{"a"}},
		{"a string again", wire.Marshal, "[\x03\x00\x00\x00\xda\x01ar\x00\x00\x00\x00r\x00\x00\x00\x00", []string{"a", "a", "a"}},
		{"an interned string again", wire.Marshal, "[\x03\x00\x00\x00t\x01\x00\x00\x00as\x01\x00\x00\x00bR\x00\x00\x00\x00", []string{"a", "b", "a"}},
		{"both kinds of reference", wire.Marshal, "(\x05\x00\x00\x00t\x01\x00\x00\x00a\xda\x01bR\x00\x00\x00\x00r\x00\x00\x00\x00\xf4\x01\x00\x00\x00c", []string{"a", "b", "a", "b", "c"}},
		{"a list again", wire.Marshal, "\xa9\x02\xdb\x02\x00\x00\x00\xda\x01aZ\x01br\x01\x00\x00\x00", []string{"a", "b", "a", "b"}},
		{"a list in itself", wire.Marshal, "\xdb\x02\x00\x00\x00z\x01ar\x00\x00\x00\x00", []string{"a"}},
		{"a dict, a set, a slice", wire.Marshal, "{z\x01a<\x01\x00\x00\x00z\x01bz\x01c:z\x01dNN0", []string{"a", "b", "c", "d"}},
		{"none", wire.Pickle, "N.", nil},
		{"what follows", wire.Pickle, "U\x01a.U\x01b.", []string{"a"}},
		{"every form", wire.Pickle, "(S'a\\n'\nV\\u00e9\xe9\nU\x01bT\x01\x00\x00\x00cX\x01\x00\x00\x00d\x8c\x01e\x8d\x01\x00\x00\x00\x00\x00\x00\x00fC\x01gB\x01\x00\x00\x00h" +
			"\x8e\x01\x00\x00\x00\x00\x00\x00\x00i\x96\x01\x00\x00\x00\x00\x00\x00\x00jt.",
			[]string{"a\n", "éé", "b", "c", "d", "e", "f", "g", "h", "i", "j"}},
		{"surrogates", wire.Pickle, "V\\ud83d\n.", []string{half}},
		{"a string again", wire.Pickle, "](U\x01aq\x05h\x05g5\nj\x05\x00\x00\x002e.", []string{"a", "a", "a", "a", "a"}},
		{"a list again, added to since", wire.Pickle, "](]\x94h\x00U\x01aa\x94h\x00e.", []string{"a", "a", "a"}},
		{"a list in itself", wire.Pickle, "]\x94(U\x01ah\x00e.", []string{"a"}},
		{"a dict in each way", wire.Pickle, "((U\x01aU\x01bd}(U\x01cNu}U\x01dU\x01est.", []string{"a", "b", "c", "d", "e"}},
		{"sets", wire.Pickle, "\x8f(U\x01aU\x01b\x90(U\x01c\x91\x86.", []string{"a", "b", "c"}},
		{"tuples and lists", wire.Pickle, "U\x01a\x85U\x01bU\x01c\x86U\x01dNU\x01e\x87\x87(U\x01fl]U\x01ga\x87.", []string{"a", "b", "c", "d", "e", "f", "g"}},
		{"dropped", wire.Pickle, "U\x01aU\x01b0(U\x01c1.", []string{"a"}},
		{"imports", wire.Pickle, "\x8c\x01m\x8c\x01n\x93cm\nn\n\x86.", nil},
		{"a call", wire.Pickle, "c__builtin__\nset\n](U\x01aU\x01be\x85R.", []string{"a", "b"}},
		{"objects", wire.Pickle, "cm\nn\nU\x01a\x85\x81}U\x01bU\x01csb(U\x01dim\nn\n(cm\nn\nU\x01eocm\nn\n)}U\x01fU\x01gs\x92\x87\x86.", []string{"a", "b", "c", "d", "e", "f", "g"}},
		{"a subclass of dict", wire.Pickle, "cm\nn\n)R(U\x01aU\x01bu.", []string{"a", "b"}},
	}
	for _, c := range cases {
		var want sum
		for _, s := range c.strings {
			want.add(stringSum([]byte(s)))
		}
		for _, compressed := range []bool{false, true} {
			payload := []byte(c.payload)
			if compressed {
				payload = deflate(c.payload)
			}
			if got, err := Fingerprint(c.format, compressed, payload, Limits{}); err != nil || got != want.print() {
				t.Errorf("%s: %s: got %x, %v, want %x, of %q", c.format, c.name, got, err, want.print(), c.strings)
			}
		}
	}
}

// Strings that look alike put together are not the same strings.
func TestFingerprintTellsApart(t *testing.T) {
	payloads := []string{
		`null`, `""`, `["", ""]`, `"ab"`, `["a", "b"]`, `["ab", ""]`, `["a", "b", "b"]`, `["a", "a", "b"]`, `["ba"]`, `["a", "a"]`, `["b", "b"]`, `["aa"]`, `["A", "b"]`,
	}
	seen := map[Print]string{{}: "no print"}
	for _, p := range payloads {
		got, err := Fingerprint(wire.JSON, false, []byte(p), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the print of %s", p, other)
		}
		seen[got] = p
	}
}

// Only the strings count.
func TestFingerprintOrder(t *testing.T) {
	var want Print
	for i, p := range []string{`{"a": ["b", "c"], "d": 1}`, `{"d": 2.5, "a": ["c", "b"]}`, `[["d"], "c", {"b": "a"}]`} {
		got, err := Fingerprint(wire.JSON, false, []byte(p), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			want = got
		}
		if got != want {
			t.Errorf("%s: got %x, want %x", p, got, want)
		}
	}
}

func TestFingerprintErrors(t *testing.T) {
	nested := strings.Repeat("[", 20) + strings.Repeat("]", 20)
	cases := []struct {
		name       string
		format     wire.Serializer
		compressed bool
		payload    string
		lim        Limits
		err        error
	}{
		{"no such format", wire.UnknownSerializer, false, "", Limits{}, ErrMalformed},
		{"empty", wire.Serpent, false, "", Limits{}, ErrMalformed},
		{"not zlib", wire.JSON, true, `"a"`, Limits{}, ErrMalformed},
		{"inflates too far", wire.JSON, true, string(deflate(`"` + strings.Repeat("a", 99) + `"`)), Limits{Inflated: 100}, ErrLimit},
		{"inflates far enough", wire.JSON, true, string(deflate(`"` + strings.Repeat("a", 98) + `"`)), Limits{Inflated: 100}, nil},
		{"nested too deep", wire.Serpent, false, nested, Limits{Depth: 19}, ErrLimit},
		{"nested deep enough", wire.Serpent, false, nested, Limits{Depth: 20}, nil},
		{"nested too deep", wire.JSON, false, nested, Limits{Depth: 19}, ErrLimit},
		{"nested deep enough", wire.JSON, false, nested, Limits{Depth: 20}, nil},
		{"nested too deep", wire.Msgpack, false, strings.Repeat("\x91", 20) + "\xc0", Limits{Depth: 19}, ErrLimit},
		{"nested deep enough", wire.Msgpack, false, strings.Repeat("\x91", 20) + "\xc0", Limits{Depth: 20}, nil},
		{"nested too deep", wire.Marshal, false, strings.Repeat(")\x01", 20) + "N", Limits{Depth: 19}, ErrLimit},
		{"nested deep enough", wire.Marshal, false, strings.Repeat(")\x01", 20) + "N", Limits{Depth: 20}, nil},
		{"many references", wire.Marshal, false, ")\x06" + strings.Repeat("\xda\x01a", 6), Limits{Items: 5}, ErrLimit},
		{"many references", wire.Marshal, false, ")\x06" + strings.Repeat("\xda\x01a", 6), Limits{Items: 6}, nil},
		{"many strings", wire.Pickle, false, strings.Repeat("U\x01a0", 6) + "N.", Limits{Items: 5}, ErrLimit},
		{"many strings", wire.Pickle, false, strings.Repeat("U\x01a0", 6) + "N.", Limits{Items: 6}, nil},
		{"a bad escape", wire.Serpent, false, `'\xzz'`, Limits{}, ErrMalformed},
		{"a character by its name", wire.Serpent, false, `'\N{DIGIT ONE}'`, Limits{}, ErrMalformed},
		{"a bad escape", wire.Pickle, false, "V\\u00zz\n.", Limits{}, ErrMalformed},
		{"a key without a value", wire.Marshal, false, "{z\x01a0", Limits{}, ErrMalformed},
		{"nothing", wire.Marshal, false, "0", Limits{}, ErrMalformed},
		{"nothing in a list", wire.Marshal, false, "[\x01\x00\x00\x000", Limits{}, ErrMalformed},
		{"a reference to nothing", wire.Marshal, false, "[\x01\x00\x00\x00r\x00\x00\x00\x00", Limits{}, ErrMalformed},
		{"no value", wire.Pickle, false, ".", Limits{}, ErrMalformed},
		{"append to nothing", wire.Pickle, false, "Na.", Limits{}, ErrMalformed},
	}
	for _, c := range cases {
		got, err := Fingerprint(c.format, c.compressed, []byte(c.payload), c.lim)
		if !errors.Is(err, c.err) || err != nil && got != (Print{}) {
			t.Errorf("%s: %s: got %x, %v, want %v", c.format, c.name, got, err, c.err)
		}
	}
}
