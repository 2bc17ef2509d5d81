package config_test

import (
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// templates are what package blob compiles, and what it does not. It is the judge.
var templates = []struct {
	text string
	good bool
}{
	{"listener", true},
	{"listener.{info}", true},
	{"{object}{method}{info}", true},
	{"{info.tenant}", true},
	{"{info.0.name}", true},
	{"{info.-1}", true},
	{`{info."a.b"}`, true},
	{`{info."a}b"}`, true},
	{`{info."a\"\\b"}`, true},
	{`{info.""}`, true},
	{"{info.a b}", true},
	{"{info.-}", true},
	{"{{}}", true},
	{"{{{info}}}", true},
	{"}}x{{", true},
	{"{", false},
	{"}", false},
	{"{info", false},
	{"info}", false},
	{"{}", false},
	{"{tenant}", false},
	{"{information}", false},
	{"{info.}", false},
	{"{info..a}", false},
	{"{info.a.}", false},
	{`{info."a}`, false},
	{`{info.a"b}`, false},
	{`{info."a"b}`, false},
	{`{info."a\n"}`, false},
	{`{info.a\b}`, false},
	{"{info.{a}}", false},
	{"{info.99999999999999999999}", false},
	{"{Info}", false},
	{"{ info }", false},
	{"{{{info}}", false},
}

func TestTemplate(t *testing.T) {
	for _, tt := range templates {
		var got config.Template
		err := got.UnmarshalText([]byte(tt.text))
		if (err == nil) != tt.good || err == nil && string(got) != tt.text {
			t.Errorf("%q: got %q, %v", tt.text, got, err)
		}
		if _, err := blob.ParseTemplate(tt.text); (err == nil) != tt.good {
			t.Errorf("%q: package blob says %v", tt.text, err)
		}
	}
	var none config.Template
	if err := none.UnmarshalText(nil); err != nil {
		t.Error(err) // no template, which package blob is not asked about
	}
	if err := none.UnmarshalText([]byte(strings.Repeat("x", 1025))); err == nil {
		t.Error("a template of any length is good")
	}
}

// What is taken for a template is one, and nothing else is refused.
func FuzzTemplate(f *testing.F) {
	for _, tt := range templates {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || len(text) > 1024 {
			return
		}
		var got config.Template
		ours := got.UnmarshalText([]byte(text))
		if _, err := blob.ParseTemplate(text); (err == nil) != (ours == nil) {
			t.Errorf("%q: %v, but package blob says %v", text, ours, err)
		}
	})
}

// The paths of conditions are those that package blob reads, too.
func FuzzInfoPath(f *testing.F) {
	for _, tt := range templates {
		if path, ok := strings.CutPrefix(tt.text, "{"); ok {
			f.Add(strings.TrimSuffix(path, "}"))
		}
	}
	f.Fuzz(func(t *testing.T, path string) {
		if !strings.HasPrefix(path, "info.") {
			return
		}
		c := config.Default()
		c.Routes = []config.Route{config.DefaultRoute()}
		c.Routes[0].Match.Blob = config.Conditions{{Key: path, Any: []config.Value{{Text: "*"}}}}
		ours := 0
		for _, p := range c.Validate() {
			if strings.HasPrefix(p.Path, "routes[0].match.blob.") {
				ours++
			}
		}
		if _, err := blob.ParsePath(path); (err == nil) != (ours == 0) {
			t.Errorf("%q has %d problems, but package blob says %v", path, ours, err)
		}
	})
}

func TestPatternExact(t *testing.T) {
	for p, want := range map[config.Pattern]string{
		"lab.camera": "lab.camera", `a\*b`: "a*b", `\\`: `\`, "a]b-c": "a]b-c", "é": "é", `\é`: "é",
		"*": "", "a?": "", "[a]": "", `\`: "", "": "",
	} {
		if got, ok := p.Exact(); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %t; want %q", p, got, ok, want)
		}
	}
}

// A number of the file is the number that package blob finds in a call.
func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"7": "7", "-7": "-7", "0": "0", "-0": "0", "7.0": "7", "0.5": "0.5", "-2.50": "-2.5", "1e3": "1000", "1.5E-3": "0.0015",
		"18446744073709551616": "18446744073709551616", "1e22": "10000000000000000000000",
	} {
		v := oneValue(t, text)
		if !v.Number || v.Text != want {
			t.Errorf("%s: got %+v, want %s", text, v, want)
		}
		// As a caller makes what it compares with.
		n, whole := new(big.Int).SetString(v.Text, 10)
		if whole && blob.BigScalar(n).String() != want {
			t.Errorf("%s is %s to package blob", text, blob.BigScalar(n))
		}
		if !whole {
			f, err := strconv.ParseFloat(v.Text, 64)
			if s, ok := blob.FloatScalar(f); err != nil || !ok || s.String() != want {
				t.Errorf("%s is %s to package blob", text, s)
			}
		}
	}
	for text, want := range map[string]string{`"7"`: "7", "7a": "7a", "'0.5'": "0.5", "a*": "a*"} {
		if v := oneValue(t, text); v.Number || string(v.Pattern()) != want {
			t.Errorf("%s: got %+v, want the pattern %s", text, v, want)
		}
	}
}

// oneValue reads a value of a condition.
func oneValue(t *testing.T, text string) config.Value {
	t.Helper()
	c, err := config.Load("x", []byte("routes: [{match: {blob: {info: "+text+"}}, cluster: c}]"))
	if err != nil {
		t.Fatal(err)
	}
	return c.Routes[0].Match.Blob[0].Any[0]
}

func TestWait(t *testing.T) {
	for text, want := range map[string]struct {
		wait   config.Wait
		quorum int
	}{
		"all": {"all", 0}, "none": {"none", 0}, "quorum 2": {"quorum 2", 2}, "quorum   03": {"quorum 3", 3}, "quorum 1000": {"quorum 1000", 1000},
	} {
		var w config.Wait
		if err := w.UnmarshalText([]byte(text)); err != nil || w != want.wait {
			t.Errorf("%q: got %q, %v", text, w, err)
		}
		if n, ok := w.Quorum(); n != want.quorum || ok != (n > 0) {
			t.Errorf("%q: a quorum of %d, %t", text, n, ok)
		}
	}
	for _, text := range []string{"", "quorum", "quorum ", "quorum2", "quorum -1", "quorum 0", "quorum 1001", "quorum 1 2", "first", "quorum 99999999999999999999"} {
		var w config.Wait
		if err := w.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %q", text, w)
		}
	}
}
