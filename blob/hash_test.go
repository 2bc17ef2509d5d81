package blob

import (
	"bytes"
	"strings"
	"testing"
)

// What CPython 3.11's marshal.dumps((info, "camera", "move"), version) writes in
// front of and behind the info, by the version.
var (
	before = [...]string{"(\x03\x00\x00\x00", "(\x03\x00\x00\x00", "(\x03\x00\x00\x00", "(\x03\x00\x00\x00", ")\x03"}
	behind = [...]string{
		"u\x06\x00\x00\x00camerau\x04\x00\x00\x00move", "u\x06\x00\x00\x00camerau\x04\x00\x00\x00move",
		"u\x06\x00\x00\x00camerau\x04\x00\x00\x00move", "\xf4\x06\x00\x00\x00camera\xf4\x04\x00\x00\x00move",
		"\xda\x06camera\xda\x04move",
	}
)

// TestInfo: equal infos are the same in all versions.
func TestInfo(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct {
		name     string
		versions [5]string // what CPython 3.11 writes
		want     string
	}{
		{"str", [5]string{"u\x06\x00\x00\x00room-7", "u\x06\x00\x00\x00room-7", "u\x06\x00\x00\x00room-7", "\xf5\x06\x00\x00\x00room-7", "\xfa\x06room-7"}, "room-7"},
		{"bytes", [5]string{"s\x06\x00\x00\x00room-7", "s\x06\x00\x00\x00room-7", "s\x06\x00\x00\x00room-7", "\xf3\x06\x00\x00\x00room-7", "\xf3\x06\x00\x00\x00room-7"}, "room-7"},
		{"other letters", [5]string{"u\x05\x00\x00\x00\xc3\xa9t\xc3\xa9", "u\x05\x00\x00\x00\xc3\xa9t\xc3\xa9", "u\x05\x00\x00\x00\xc3\xa9t\xc3\xa9", "\xf5\x05\x00\x00\x00\xc3\xa9t\xc3\xa9", "\xf5\x05\x00\x00\x00\xc3\xa9t\xc3\xa9"}, "été"},
		{"empty", [5]string{"u\x00\x00\x00\x00", "u\x00\x00\x00\x00", "u\x00\x00\x00\x00", "\xf4\x00\x00\x00\x00", "\xda\x00"}, ""},
		{"long", [5]string{"u\x2c\x01\x00\x00" + long, "u\x2c\x01\x00\x00" + long, "u\x2c\x01\x00\x00" + long, "\xf5\x2c\x01\x00\x00" + long, "\xe1\x2c\x01\x00\x00" + long}, long},
		{"number", [5]string{"i\x07\x00\x00\x00", "i\x07\x00\x00\x00", "i\x07\x00\x00\x00", "\xe9\x07\x00\x00\x00", "\xe9\x07\x00\x00\x00"}, "i\x07\x00\x00\x00"},
		{"negative", [5]string{"i\xff\xff\xff\xff", "i\xff\xff\xff\xff", "i\xff\xff\xff\xff", "\xe9\xff\xff\xff\xff", "\xe9\xff\xff\xff\xff"}, "i\xff\xff\xff\xff"},
		{"large number", [5]string{
			"l\x03\x00\x00\x00\x00\x00\x00\x00\x00\x04", "l\x03\x00\x00\x00\x00\x00\x00\x00\x00\x04", "l\x03\x00\x00\x00\x00\x00\x00\x00\x00\x04",
			"\xec\x03\x00\x00\x00\x00\x00\x00\x00\x00\x04", "\xec\x03\x00\x00\x00\x00\x00\x00\x00\x00\x04"}, "l\x03\x00\x00\x00\x00\x00\x00\x00\x00\x04"},
		{"true", [5]string{"T", "T", "T", "T", "T"}, "i\x01\x00\x00\x00"},
		{"none", [5]string{"N", "N", "N", "N", "N"}, "N"},
	}
	for _, test := range tests {
		for version, info := range test.versions {
			annotation := []byte(before[version] + info + behind[version])
			sent := bytes.Clone(annotation)
			got, ok := Info(annotation)
			if !ok || string(got) != test.want {
				t.Errorf("%s, version %d: %q, %v; want %q", test.name, version, got, ok, test.want)
			}
			if !bytes.Equal(annotation, sent) {
				t.Errorf("%s, version %d: the annotation was changed", test.name, version)
			}
		}
	}
}

// TestInfoForms: values that are not the same everywhere, but as CPython 2.7 and
// 3.11 write them unless told otherwise, and containers.
func TestInfoForms(t *testing.T) {
	tests := []struct{ name, annotation, want string }{
		{"Python 2, str", "(\x03\x00\x00\x00s\x06\x00\x00\x00room-7t\x06\x00\x00\x00camerat\x04\x00\x00\x00move", "room-7"},
		{"Python 2, interned", "(\x03\x00\x00\x00t\x06\x00\x00\x00cameraR\x00\x00\x00\x00t\x04\x00\x00\x00move", "camera"},
		{"Python 2, unicode", "(\x03\x00\x00\x00u\x06\x00\x00\x00room-7t\x06\x00\x00\x00camerat\x04\x00\x00\x00move", "room-7"},
		{"Python 2, large number", "(\x03\x00\x00\x00I\x00\x00\x00\x00\x00\x01\x00\x00t\x06\x00\x00\x00camerat\x04\x00\x00\x00move", "l\x03\x00\x00\x00\x00\x00\x00\x00\x00\x04"},
		{"whole float", ")\x03\xe7\x00\x00\x00\x00\x00\x00\xf0?\xda\x06camera\xda\x04move", "i\x01\x00\x00\x00"},
		{"the object's own id", "\xa9\x03\xfa\x06camerar\x01\x00\x00\x00\xfa\x04move", "camera"},
		{"float", ")\x03\xe7\x00\x00\x00\x00\x00\x00\xf8?\xda\x06camera\xda\x04move", "g\x00\x00\x00\x00\x00\x00\xf8?"},
		{"tuple", ")\x03\xa9\x02\xda\x01a\xe9\x01\x00\x00\x00\xda\x06camera\xda\x04move", ")\x02\xda\x01a\xe9\x01\x00\x00\x00"},
		{"list", ")\x03\xdb\x02\x00\x00\x00\xe9\x01\x00\x00\x00[\x01\x00\x00\x00\xe9\x02\x00\x00\x00\xda\x06camera\xda\x04move", "[\x02\x00\x00\x00\xe9\x01\x00\x00\x00[\x01\x00\x00\x00\xe9\x02\x00\x00\x00"},
		{"dict", ")\x03\xfb\xda\x01k\xda\x01v0\xda\x06camera\xda\x04move", "{\xda\x01k\xda\x01v0"},
	}
	for _, test := range tests {
		if got, ok := Info([]byte(test.annotation)); !ok || string(got) != test.want {
			t.Errorf("%s: %q, %v; want %q", test.name, got, ok, test.want)
		}
	}
}

// TestNoInfo: what is not an annotation of a blob.
func TestNoInfo(t *testing.T) {
	for name, annotation := range map[string]string{
		"empty":                "",
		"a string":             "\xfa\x06room-7",
		"two items":            ")\x02\xfa\x06room-7\xda\x06camera",
		"four items":           ")\x04\xfa\x06room-7\xda\x06camera\xda\x04moveN",
		"a list":               "[\x03\x00\x00\x00\xfa\x06room-7\xda\x06camera\xda\x04move",
		"cut in the tuple":     "(\x03\x00",
		"cut before the info":  ")\x03",
		"cut in the info":      ")\x03\xfa\x06room",
		"cut in a container":   ")\x03[\x02\x00\x00\x00\xe9\x01\x00\x00\x00",
		"no value":             ")\x030\xda\x06camera\xda\x04move",
		"code":                 ")\x03c\x00\x00\x00\x00\xda\x06camera\xda\x04move",
		"too deep":             ")\x03" + strings.Repeat("[\x01\x00\x00\x00", 200) + "N\xda\x06camera\xda\x04move",
		"reference to nothing": ")\x03r\x07\x00\x00\x00\xda\x06camera\xda\x04move",
	} {
		if info, ok := Info([]byte(annotation)); ok {
			t.Errorf("%s: %q", name, info)
		}
	}
}

func FuzzInfo(f *testing.F) {
	for version := range before {
		f.Add([]byte(before[version] + "i\x07\x00\x00\x00" + behind[version]))
		f.Add([]byte(before[version] + "[\x01\x00\x00\x00N" + behind[version]))
	}
	f.Add([]byte("\xa9\x03\xfa\x06camerar\x01\x00\x00\x00\xfa\x04move"))
	f.Fuzz(func(t *testing.T, annotation []byte) {
		sent := bytes.Clone(annotation)
		info, ok := Info(annotation)
		switch {
		case !bytes.Equal(annotation, sent):
			t.Fatal("the annotation was changed")
		case !ok && info != nil:
			t.Fatalf("no info, but %q", info)
		case len(info) > max(len(annotation), 400): // a float that is whole, and large, is longer as an int
			t.Fatalf("an info of %d bytes in an annotation of %d", len(info), len(annotation))
		}
		// What comes behind the info makes no difference.
		if again, found := Info(append(sent, "rubbish"...)); ok && (!found || !bytes.Equal(again, info)) {
			t.Fatalf("%q, with rubbish behind it %q, %v", info, again, found)
		}
	})
}
