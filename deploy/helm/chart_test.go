package helm

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/pyrotest"
)

var update = flag.Bool("update", false, "rewrite the golden files and the chart's README from what is rendered now")

// values returns the value files in testdata, each a way to use the chart.
func values(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no value files (%v): this test would test nothing", err)
	}
	return files
}

func golden(file, suffix string) string { return strings.TrimSuffix(file, ".yaml") + suffix }

// TestTemplate holds all that is rendered for the files in testdata.
func TestTemplate(t *testing.T) {
	files := values(t)
	for _, file := range files {
		pyrotest.Golden(t, golden(file, ".golden"), tidy(rendered(t, "lab", "--values", file)), *update)
		pyrotest.Golden(t, golden(file, ".notes"), tidy(notes(t, file)), *update)
	}
	// The other way round: an expectation whose input went is not tested.
	expected, _ := filepath.Glob("testdata/*.[gn]*")
	for _, name := range expected {
		if !slices.Contains(files, strings.TrimSuffix(name, filepath.Ext(name))+".yaml") {
			t.Errorf("%s has no .yaml beside it", name)
		}
	}
}

var emptyLines = regexp.MustCompile(`\n+(---\n|$)`)

// tidy takes away the empty lines at the ends of documents, of which versions of helm write
// different numbers.
func tidy(text string) string { return emptyLines.ReplaceAllString(text, "\n$1") }

// notes returns what helm install would say at its end. Only with a cluster does helm show
// it, so a copy of the chart renders it as a manifest.
func notes(t *testing.T, file string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), chart)
	if err := os.CopyFS(dir, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "templates", "NOTES.txt"), filepath.Join(dir, "notes")); err != nil {
		t.Fatal(err)
	}
	show := "notes: |\n{{ tpl (.Files.Get \"notes\") . | indent 2 }}\n"
	if err := os.WriteFile(filepath.Join(dir, "templates", "notes.yaml"), []byte(show), 0o600); err != nil {
		t.Fatal(err)
	}
	r := helm(t, "template", "lab", dir, "--namespace", "plant", "--kube-version", "1.34.0", "--values", file, "--show-only", "templates/notes.yaml")
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.stderr)
	}
	_, text, ok := strings.Cut(r.stdout, "notes: |\n")
	if !ok {
		t.Fatalf("no notes in %q", r.stdout)
	}
	return regexp.MustCompile(`(?m)^  `).ReplaceAllString(text, "")
}

// TestLint wants helm to find nothing to complain about, in the chart as it comes and with
// each of the files in testdata.
func TestLint(t *testing.T) {
	for _, file := range append([]string{chart + "/values.yaml"}, values(t)...) {
		if r := helm(t, "lint", "--strict", chart, "--values", file); r.err != nil {
			t.Errorf("%s: %v\n%s%s", file, r.err, r.stdout, r.stderr)
		}
	}
}

// TestManifests wants Kubernetes to know every field of every object: a misspelt one would
// be dropped, and with it what it is there for.
func TestManifests(t *testing.T) {
	var all strings.Builder
	for _, file := range values(t) {
		all.WriteString(rendered(t, "lab", "--values", file))
	}
	noteFiles(t, module)
	for _, tt := range []struct{ name, manifests, refused string }{
		{"as rendered", all.String(), ""},
		{"misspelt", strings.ReplaceAll(all.String(), "enableServiceLinks", "enableServiceLink"), `unknown field "spec.template.spec.enableServiceLink"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command("go", "-C", module, "run", "./manifests")
			cmd.Stdin = strings.NewReader(tt.manifests)
			out, err := cmd.CombinedOutput()
			if refused := err != nil; refused != (tt.refused != "") || !strings.Contains(string(out), tt.refused) {
				t.Errorf("%v\n%s\nwant %q", err, out, tt.refused)
			}
		})
	}
}

// TestConfig wants the dispatcher to accept the file that the chart writes, with what the
// chart adds to it.
func TestConfig(t *testing.T) {
	for _, file := range values(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			all := manifests(t, rendered(t, "lab", "--values", file))
			c := configOf(t, all)
			for _, p := range pods(t, all) {
				admin := p.Containers[0].port("admin")
				if want := fmt.Sprintf(":%d", admin); c.Admin.Address.String() != want {
					t.Errorf("the admin server listens at %s: want %s", c.Admin.Address, want)
				}
			}
		})
	}
}
