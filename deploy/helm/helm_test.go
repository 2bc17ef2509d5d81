package helm

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	chart  = "dispatch-gateway"
	module = "../../integration/helm" // builds helm, and the program that checks manifests
)

// helmCommand returns the path of the helm to test with.
var helmCommand = sync.OnceValues(func() (string, error) {
	if path, err := exec.LookPath("helm"); err == nil && major(path) >= 3 {
		return path, nil
	}
	list := exec.Command("go", "-C", module, "list", "-m", "-f", "{{.Version}}", "helm.sh/helm/v3")
	version, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", list, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	name := "helm-" + strings.TrimSpace(string(version))
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	path := filepath.Join(cache, "pyro-dispatch-test", name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintf(os.Stderr, "helm: building %s from the module proxy, once\n", name)
	return path, build(path)
})

// major returns the major version of a helm command, or 0 where it does not say.
func major(path string) int {
	out, err := exec.Command(path, "version", "--template", "{{.Version}}").Output()
	if err != nil {
		return 0
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(string(out), "v"), ".")
	n, _ := strconv.Atoi(text)
	return n
}

// build makes a helm command at path. The file appears there complete, as tests of another
// checkout may be looking for it.
func build(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	built := filepath.Join(dir, filepath.Base(path))
	output, err := filepath.Abs(built)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "-C", module, "build", "-ldflags", "-s -w", "-o", output, "helm.sh/helm/v3/cmd/helm")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, bytes.TrimSpace(out))
	}
	return os.Rename(built, path)
}

// result is what helm wrote, and how it ended.
type result struct {
	stdout, stderr string
	err            error
}

// helm runs helm, apart from the settings of whoever runs the test.
func helm(tb testing.TB, args ...string) result {
	tb.Helper()
	path, err := helmCommand()
	if err != nil {
		tb.Fatal(err)
	}
	// What helm reads is looked at here too, so that go test does not repeat a cached result
	// after the chart changed.
	noteFiles(tb, ".")
	home := tb.TempDir()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HELM_") && !strings.HasPrefix(v, "KUBECONFIG=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	for _, dir := range []string{"CACHE", "CONFIG", "DATA"} {
		cmd.Env = append(cmd.Env, "HELM_"+dir+"_HOME="+filepath.Join(home, strings.ToLower(dir)))
	}
	err = cmd.Run()
	return result{stdout.String(), stderr.String(), err}
}

// template returns what the chart renders for a release in the namespace plant.
func template(tb testing.TB, release string, args ...string) result {
	tb.Helper()
	return helm(tb, append([]string{"template", release, chart, "--namespace", "plant", "--kube-version", "1.34.0"}, args...)...)
}

// rendered is template where it must succeed.
func rendered(tb testing.TB, release string, args ...string) string {
	tb.Helper()
	r := template(tb, release, args...)
	if r.err != nil {
		tb.Fatalf("helm template %s %v: %v\n%s", release, args, r.err, r.stderr)
	}
	return r.stdout
}

func noteFiles(tb testing.TB, root string) {
	tb.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
}
