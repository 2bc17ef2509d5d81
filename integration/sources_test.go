package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// sourcesOf returns the directory of a library's source distribution, with Pyro's own examples
// and in the version that is tested. It is fetched at the first use and kept in the venv, where
// git does not look.
func sourcesOf(t *testing.T, lib string) string {
	t.Helper()
	dir, err := fetched[lib]()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var fetched = map[string]func() (string, error){
	"pyro4": sync.OnceValues(func() (string, error) { return fetchSources("Pyro4") }),
	"pyro5": sync.OnceValues(func() (string, error) { return fetchSources("Pyro5") }),
}

func fetchSources(project string) (string, error) {
	version, err := pinned(project)
	if err != nil {
		return "", err
	}
	kept := filepath.Join(filepath.Dir(filepath.Dir(python)), "sources")
	dir := filepath.Join(kept, project+"-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(kept, 0o777); err != nil {
		return "", err
	}
	// Under its name it is always complete: another run may look for it at the same time.
	part, err := os.MkdirTemp(kept, "part-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part)
	fmt.Fprintf(os.Stderr, "integration: fetching the sources of %s %s\n", project, version)
	if err := pythonRun("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", part,
		"--no-deps", "--no-binary", project, project+"=="+version); err != nil {
		return "", err
	}
	archives, err := filepath.Glob(filepath.Join(part, "*.tar.gz"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("pip fetched %q, %w", archives, err)
	}
	if err := pythonRun("-m", "tarfile", "--extract", archives[0], part); err != nil {
		return "", err
	}
	// How the project's name is spelt differs between archives.
	unpacked, err := filepath.Glob(filepath.Join(part, "*-"+version))
	if err != nil || len(unpacked) != 1 {
		return "", fmt.Errorf("%s holds %q, %w", filepath.Base(archives[0]), unpacked, err)
	}
	if err := os.Rename(unpacked[0], dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}

// pinned is the version of a project in requirements.txt.
func pinned(project string) (string, error) {
	requirements, err := os.ReadFile("requirements.txt")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(requirements)) {
		if version, ok := strings.CutPrefix(strings.TrimSpace(line), project+"=="); ok {
			return version, nil
		}
	}
	return "", fmt.Errorf("requirements.txt does not name %s", project)
}

func pythonRun(args ...string) error {
	cmd := exec.Command(python, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, bytes.TrimSpace(out))
	}
	return nil
}
