package blob

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestAppendRetargeted(t *testing.T) {
	tests := []struct{ name, annotation, object, method, want string }{
		{"both", "\xa9\x03\xfa\x04objxr\x01\x00\x00\x00\xfa\x04meth", "é", "n", "\xa9\x03\xfa\x04objxu\x02\x00\x00\x00\xc3\xa9u\x01\x00\x00\x00n"},
		{"method", "\xa9\x03\xfa\x04objxr\x01\x00\x00\x00\xfa\x04meth", "", "n", "\xa9\x03\xfa\x04objxu\x04\x00\x00\x00objxu\x01\x00\x00\x00n"},
		{"object of Python 2", "(\x03\x00\x00\x00t\x01\x00\x00\x00aR\x00\x00\x00\x00s\x01\x00\x00\x00m", "b", "", "(\x03\x00\x00\x00t\x01\x00\x00\x00au\x01\x00\x00\x00bu\x01\x00\x00\x00m"},
		{"info with references", "\xa9\x03\xdb\x03\x00\x00\x00\xfa\x01ar\x02\x00\x00\x00r\x01\x00\x00\x00r\x02\x00\x00\x00r\x02\x00\x00\x00", "b", "",
			"\xa9\x03\xdb\x03\x00\x00\x00\xfa\x01ar\x02\x00\x00\x00r\x01\x00\x00\x00u\x01\x00\x00\x00bu\x01\x00\x00\x00a"},
		{"str of Python 2 with other letters", "(\x03\x00\x00\x00Ns\x01\x00\x00\x00\xe9s\x01\x00\x00\x00m", "", "n", "(\x03\x00\x00\x00Ns\x01\x00\x00\x00\xe9u\x01\x00\x00\x00n"},
		{"rubbish behind", ")\x03Nz\x01oz\x01m?", "p", "", ")\x03Nu\x01\x00\x00\x00pu\x01\x00\x00\x00m"},
	}
	for _, test := range tests {
		got, err := AppendRetargeted([]byte("before"), []byte(test.annotation), test.object, test.method)
		if err != nil || string(got) != "before"+test.want {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
	if got, err := AppendRetargeted([]byte("before"), []byte(")\x02NN"), "o", "m"); !errors.Is(err, ErrMalformed) || string(got) != "before" {
		t.Errorf("no blob: %q, %v", got, err)
	}
	if got, err := AppendRetargeted([]byte("before"), []byte(")\x03Nz\x01oz\x01m"), strings.Repeat("o", MaxBytes), "m"); !errors.Is(err, ErrLimit) || string(got) != "before" {
		t.Errorf("too large: %d bytes, %v", len(got), err)
	}
}

// TestRetargetedInPython: to Python, another object and method is all that changes.
func TestRetargetedInPython(t *testing.T) {
	for _, p := range pythons(t) {
		r := rand.New(rand.NewPCG(5, 6))
		same := 0
		for range *rounds / 2 {
			annotation := randomAnnotation(r)
			other, err := AppendRetargeted(nil, annotation, "caf\xc3\xa9", "")
			if err != nil {
				continue
			}
			before, after := p.ask(annotation), p.ask(other)
			if !strings.HasPrefix(before, "call ") {
				continue
			}
			same++
			fields := strings.Fields(before)
			fields[1] = "636166c3a9"
			if mayHoldTuple(annotation) {
				continue
			}
			if want := strings.Join(fields, " "); after != want {
				t.Errorf("%s: %q gives %q, retargeted %q gives %q", p.version, annotation, before, other, after)
			}
		}
		if same < *rounds/20 {
			t.Errorf("%s read only %d annotations", p.version, same)
		}
	}
}

func TestTemplate(t *testing.T) {
	call, err := Parse([]byte(")\x03{z\x06tenantz\x04acmez\x03a}bi\x07\x00\x00\x00z\x05emptyz\x00z\x05floatf\x031.00z\x06cameraz\x04move"))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", MaxName)
	tests := []struct{ template, want string }{
		{"listener.{info.tenant}", "listener.acme"},
		{"{object}/{method}", "camera/move"},
		{`{info."a}b"}{{{info.tenant}}}`, "7{acme}"},
		{"plain", "plain"},
		{"é{info.float}", "é1"},
		{"{info.empty}x", "x"},
		{"{info.empty}", ""}, {"{info}", ""}, {"x{info.none}", ""},
		{long, long}, {long + "{object}", ""}, {long + "x", ""},
	}
	for _, test := range tests {
		template, err := ParseTemplate(test.template)
		if err != nil || template.String() != test.template {
			t.Errorf("%s: %v", test.template, err)
			continue
		}
		got, ok := template.Append([]byte("before"), call)
		if string(got) != "before"+test.want || ok != (test.want != "") {
			t.Errorf("%.40s: %q, %v", test.template, got, ok)
		}
	}
	for text, says := range map[string]string{
		"": "empty", "{info": "without its }", "a}": "without its {", "{}": "there is no {}", "{topic}": "there is no {topic}", "{info.}": "name is missing",
		"{informer}": "there is no", `{info."a}`: "without its }", "{{}": "without its {", "{ info}": "there is no",
	} {
		if _, err := ParseTemplate(text); !errors.Is(err, ErrTemplate) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"listener.{info}", "{{{object}}}", `{info."}"}`, "{method}{info.0}"} {
		f.Add(seed, []byte(")\x03z\x01iz\x01oz\x01m"))
	}
	f.Fuzz(func(t *testing.T, text string, annotation []byte) {
		template, err := ParseTemplate(text)
		if err != nil {
			return
		}
		call, err := Parse(annotation)
		if err != nil {
			return
		}
		name, ok := template.Append(nil, call)
		if ok != (len(name) > 0) || len(name) > MaxName {
			t.Fatalf("%d bytes, %v", len(name), ok)
		}
	})
}
