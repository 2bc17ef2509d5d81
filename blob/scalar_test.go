package blob

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
)

func number(t *testing.T, f float64) Scalar {
	t.Helper()
	s, ok := FloatScalar(f)
	if !ok {
		t.Fatalf("no scalar of %v", f)
	}
	return s
}

// TestScalar: one annotation for each value, and what it equals.
func TestScalar(t *testing.T) {
	huge := new(big.Int).Lsh(big.NewInt(1), 63)
	tests := []struct {
		info string
		want Scalar
		text string
	}{
		{"z\x01a", TextScalar("a"), "a"},
		{"s\x01\x00\x00\x00a", TextScalar("a"), "a"},
		{"t\x01\x00\x00\x00a", TextScalar("a"), "a"},
		{"z\x00", TextScalar(""), ""},
		{"z\x011", TextScalar("1"), "1"},
		{"T", IntScalar(1), "1"},
		{"F", IntScalar(0), "0"},
		{"i\xff\xff\xff\xff", IntScalar(-1), "-1"},
		{"I\x01\x00\x00\x00\x00\x00\x00\x00", IntScalar(1), "1"},
		{"g\x00\x00\x00\x00\x00\x00\xf0?", IntScalar(1), "1"},
		{"g\x00\x00\x00\x00\x00\x00\x00\x80", IntScalar(0), "0"},
		{"f\x071.5e-07", number(t, 1.5e-7), "1.5e-07"},
		{"f\x091234567.5", number(t, 1234567.5), "1234567.5"},
		{"f\x04-inf", number(t, math.Inf(-1)), "-inf"},
		{"f\x041e19", BigScalar(new(big.Int).Mul(big.NewInt(1e18), big.NewInt(10))), "10000000000000000000"},
		{"f\x139223372036854775808", BigScalar(huge), "9223372036854775808"},
		{"l\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00", BigScalar(huge), "9223372036854775808"},
		{"l\xfb\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00", IntScalar(math.MinInt64), "-9223372036854775808"},
		{"l\xfa\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00", BigScalar(new(big.Int).Lsh(big.NewInt(-1), 75)), "-37778931862957161709568"},
		{"x\x012\x010", IntScalar(2), "2"},
	}
	for _, test := range tests {
		call, err := Parse([]byte("(\x03\x00\x00\x00" + test.info + "u\x01\x00\x00\x00ou\x01\x00\x00\x00m"))
		if err != nil {
			t.Errorf("%q: %v", test.info, err)
			continue
		}
		if s, ok := call.Info.Scalar(); !ok || s != test.want || s.String() != test.text {
			t.Errorf("%q: %v, %v, %q", test.info, s, ok, s)
		}
	}
	for _, info := range []string{"N", "S", "(\x00\x00\x00\x00", "{0", "f\x03nan", "x\x012\x011"} {
		call, err := Parse([]byte("(\x03\x00\x00\x00" + info + "u\x01\x00\x00\x00ou\x01\x00\x00\x00m"))
		if s, ok := call.Info.Scalar(); err != nil || ok {
			t.Errorf("%q: %v, %v", info, s, err)
		}
	}
}

// TestAppendNew: what is written reads the same, and as the same hash key.
func TestAppendNew(t *testing.T) {
	infos := []Scalar{TextScalar(""), TextScalar("été"), IntScalar(0), IntScalar(-1), IntScalar(math.MaxInt32), IntScalar(math.MaxInt32 + 1),
		IntScalar(math.MinInt64), number(t, .1), number(t, 1e300), number(t, -1e19), number(t, math.Inf(1))}
	for shift := range uint(200) {
		n := new(big.Int).Lsh(big.NewInt(5), shift)
		infos = append(infos, BigScalar(n), BigScalar(n.Neg(n)))
	}
	for _, info := range infos {
		annotation := AppendNew([]byte("before"), info, "object", "method")[len("before"):]
		call, err := Parse(annotation)
		if err != nil || call.Object != "object" || call.Method != "method" {
			t.Errorf("%v: %q, %v", info, annotation, err)
			continue
		}
		if s, ok := call.Info.Scalar(); !ok || s != info {
			t.Errorf("%v: %q reads as %v", info, annotation, s)
		}
	}
	call, err := Parse(AppendNew(nil, Scalar{}, "o", "m"))
	if s, ok := call.Info.Scalar(); err != nil || ok {
		t.Errorf("None: %v, %v", s, err)
	}
}

func TestParsePath(t *testing.T) {
	for _, text := range []string{"info", "info.tenant", "info.0.name", "info.-1", `info."a.b"`, `info."0"`, `info."a\"b\\c".x`, `info.""`, "info.-x", "info.1x", "info.é"} {
		p, err := ParsePath(text)
		if err != nil || p.String() != text {
			t.Errorf("%s: %s, %v", text, p, err)
		}
	}
	if p, err := ParsePath(`info."plain"`); err != nil || p.String() != "info.plain" {
		t.Errorf("quotes for nothing: %s, %v", p, err)
	}
	for text, says := range map[string]string{
		"": "start with info", "tenant": "start with info", "information": "start with info", "info.": "name is missing", "info..a": "name is missing",
		"info.a.": "name is missing", `info."a`: "not closed", `info."a"b`: "no dot", `info.a"b`: "in quotes", `info."a\nb"`: "backslash takes",
		"info.99999999999999999999": "too large", "info.a}": "in quotes",
	} {
		if p, err := ParsePath(text); !errors.Is(err, ErrPath) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, %v, want %q", text, p, err, says)
		}
	}
}

func TestAt(t *testing.T) {
	const (
		// {"tenant": "acme", 0: ("x", {"name": 7, b"name": 8}), "0": "zero", "a.b": [1.5, True], "": None, True: "one"}
		nested = "{z\x06tenantz\x04acmei\x00\x00\x00\x00)\x02z\x01x{z\x04namei\x07\x00\x00\x00s\x04\x00\x00\x00namei\x08\x00\x00\x000z\x010z\x04zero" +
			"z\x03a.b[\x02\x00\x00\x00g\x00\x00\x00\x00\x00\x00\xf8?Tz\x00NTz\x03one0"
		// a = ("x",); {"a": a, "b": a, "c": "x", "a": {"x": a}}: all second mentions are references.
		refs = "{\xfa\x01a\xa9\x01\xfa\x01xz\x01br\x01\x00\x00\x00z\x01cr\x02\x00\x00\x00r\x00\x00\x00\x00{r\x02\x00\x00\x00r\x01\x00\x00\x0000"
		// Python 2's, with interned keys.
		python2 = "(\x02\x00\x00\x00{t\x04\x00\x00\x00nameR\x00\x00\x00\x000{R\x00\x00\x00\x00i\x01\x00\x00\x000"
	)
	tests := []struct {
		info, path, want string
	}{
		{nested, "info.tenant", "acme"}, {nested, "info.0.0", "x"}, {nested, "info.0.-2", "x"}, {nested, "info.0.1.name", "8"}, {nested, `info."0"`, "zero"},
		{nested, `info."a.b".0`, "1.5"}, {nested, `info."a.b".-1`, "1"}, {nested, "info.1", "one"},
		{nested, "info", ""}, {nested, "info.0", ""}, {nested, "info.0.2", ""}, {nested, "info.0.-3", ""}, {nested, `info.""`, ""}, {nested, "info.tenant.0", ""},
		{nested, "info.none", ""}, {nested, "info.0.x", ""}, {nested, `info.0."0"`, ""}, {nested, "info.2", ""},
		{refs, "info.b.0", "x"}, {refs, "info.c", "x"}, {refs, "info.a.x.0", "x"}, {refs, "info.a.0", ""},
		{python2, "info.0.name", "name"}, {python2, "info.1.name", "1"},
		{"<\x01\x00\x00\x00z\x01a", "info.0", ""}, {":NNN", "info.0", ""}, {"z\x01a", "info.0", ""}, {"z\x01a", "info", "a"},
	}
	for _, test := range tests {
		call, err := Parse([]byte("(\x03\x00\x00\x00" + test.info + "u\x01\x00\x00\x00ou\x01\x00\x00\x00m"))
		if err != nil {
			t.Errorf("%q: %v", test.info, err)
			continue
		}
		p, err := ParsePath(test.path)
		if err != nil {
			t.Errorf("%s: %v", test.path, err)
			continue
		}
		if s, ok := call.Info.At(p); s.String() != test.want || ok != (test.want != "") {
			t.Errorf("%s of %q: %q, %v, want %q", test.path, test.info, s, ok, test.want)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"info", "info.a.0", `info."a.b"."\\"`, "info.-1", "info.00", "info.-0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		if err != nil {
			return
		}
		again, err := ParsePath(p.String())
		if err != nil || again.String() != p.String() || len(again.steps) != len(p.steps) {
			t.Fatalf("%q is %q, which is %q, %v", text, p, again, err)
		}
		for i := range p.steps {
			if p.steps[i] != again.steps[i] {
				t.Fatalf("%q is %q, which is another", text, p)
			}
		}
	})
}
