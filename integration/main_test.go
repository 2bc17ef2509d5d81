package integration

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// What TestMain finds or makes before any test runs.
var (
	python     string // the interpreter of the venv
	dispatcher string // the binary under test, built with the race detector where there is one
)

func TestMain(m *testing.M) {
	os.Exit(setUpAndRun(m))
}

func setUpAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "dispatch-integration")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := setUp(dir); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	return m.Run()
}

func setUp(dir string) error {
	if err := noteSources(); err != nil {
		return err
	}
	venv := exec.Command("sh", "venv.sh")
	venv.Stderr = os.Stderr // says what it does: the first run downloads
	out, err := venv.Output()
	if err != nil {
		return fmt.Errorf("venv.sh: %w", err)
	}
	python = strings.TrimSpace(string(out))

	if dispatcher = os.Getenv("DISPATCH_TEST_BINARY"); dispatcher != "" {
		return nil
	}
	dispatcher = filepath.Join(dir, "pyro-dispatch")
	// The race detector needs cgo, which is off where there is no C compiler.
	cgo, err := exec.Command("go", "env", "CGO_ENABLED").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	if strings.TrimSpace(string(cgo)) == "1" {
		return build(dispatcher, "-race")
	}
	fmt.Fprintln(os.Stderr, "integration: no C compiler, so the dispatcher is built without the race detector")
	return build(dispatcher)
}

func build(output string, flags ...string) error {
	args := append([]string{"build", "-o", output}, flags...)
	cmd := exec.Command("go", append(args, "../cmd/pyro-dispatch")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, bytes.TrimSpace(out))
	}
	return nil
}

// plainDispatcher returns a dispatcher built as it is released, without the race detector,
// whose memory is many times that of the program.
var plainDispatcher = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("DISPATCH_TEST_BINARY"); path != "" {
		return path, nil
	}
	path := dispatcher + "-plain"
	return path, build(path)
})

// noteSources looks at every file that the tests depend on without importing it, so that go
// test does not repeat a cached result after one of them changed.
func noteSources() error {
	return filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "__pycache__") {
			return filepath.SkipDir
		}
		switch filepath.Ext(path) {
		case ".go", ".py", ".sh", ".txt", ".mod":
			_, err = os.Stat(path)
		}
		return err
	})
}
