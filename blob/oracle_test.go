package blob

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// python is an interpreter that testdata/oracle.py runs in, to ask what a daemon
// would make of an annotation.
type python struct {
	path    string
	version string
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// pythons are the interpreters that BLOB_PYTHONS lists like PATH, each version
// once, or python3.
func pythons(t testing.TB) []*python {
	t.Helper()
	candidates := filepath.SplitList(os.Getenv("BLOB_PYTHONS"))
	if path, err := exec.LookPath("python3"); err == nil && len(candidates) == 0 {
		candidates = append(candidates, path)
	}
	var all []*python
	seen := map[string]bool{}
	for _, path := range candidates {
		p := &python{path: path}
		if err := p.start(); err != nil {
			continue // like a launcher for a version that is not installed
		}
		if seen[p.version] {
			p.stop()
			continue
		}
		seen[p.version] = true
		t.Cleanup(p.stop)
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Skip("no Python at hand")
	}
	return all
}

func (p *python) start() error {
	p.cmd = exec.Command(p.path, filepath.Join("testdata", "oracle.py"))
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.in, p.out = in, bufio.NewReader(out)
	line, err := p.out.ReadString('\n')
	p.version = strings.TrimSpace(line)
	if err != nil {
		p.stop()
	}
	return err
}

func (p *python) stop() {
	p.in.Close()
	p.cmd.Wait() // it ends with its input, or was killed
}

// ask returns the answer of oracle.py, "crash" or "hang".
func (p *python) ask(annotation []byte) string {
	fmt.Fprintf(p.in, "%x\n", annotation)
	hung := time.AfterFunc(20*time.Second, func() { p.cmd.Process.Kill() })
	line, err := p.out.ReadString('\n')
	if err == nil {
		hung.Stop()
		return strings.TrimSpace(line)
	}
	answer := "crash"
	if !hung.Stop() {
		answer = "hang"
	}
	p.stop()
	if err := p.start(); err != nil {
		return "gone: " + err.Error()
	}
	return answer
}

// oraclePaths are the PATHS of oracle.py.
var oraclePaths = []string{"info.a", "info.0", "info.-1", "info.a.0", "info.0.a", "info.1.-1"}

// ours is the answer oracle.py would give if it were this package.
func ours(annotation []byte) (string, error) {
	c, err := Parse(annotation)
	if err != nil {
		return "", err
	}
	hexed := func(s string) string {
		if s == "" {
			return "."
		}
		return hex.EncodeToString([]byte(s))
	}
	fields := []string{"call", hexed(c.Object), hexed(c.Method), oracleScalar(c.Info.Scalar())}
	for _, text := range oraclePaths {
		path, err := ParsePath(text)
		if err != nil {
			return "", err
		}
		fields = append(fields, oracleScalar(c.Info.At(path)))
	}
	return strings.Join(fields, " "), nil
}

func oracleScalar(s Scalar, ok bool) string {
	switch {
	case !ok:
		return "-"
	case s.Kind == Text:
		return "t" + hex.EncodeToString([]byte(s.Text))
	case s.Text != "":
		return "n" + s.Text
	case s.fraction != 0 && !math.IsInf(s.fraction, 0):
		return "f" + s.String()
	case s.fraction != 0:
		return "f" + s.String()
	}
	return fmt.Sprintf("n%x", s.whole)
}

// judge compares what this package makes of an annotation with what a Python
// does, and says what is wrong.
func judge(annotation []byte, answer string) error {
	own, err := ours(annotation)
	accepted := err == nil
	switch {
	case strings.Contains(answer, "unknown type code"):
		return nil // it is for another version, or refused and the code is one that no version knows
	case accepted && !agree(own, answer):
		return fmt.Errorf("taken as %q, Python says %q", own, answer)
	case !accepted && strings.HasPrefix(answer, "call ") && !stricter(err):
		return fmt.Errorf("refused with %q, Python says %q", err, answer)
	}
	return nil
}

// agree compares two answers field by field; one that Python calls ambiguous is
// nobody's concern.
func agree(own, answer string) bool {
	a, b := strings.Fields(own), strings.Fields(answer)
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && b[i] != "?" {
			return false
		}
	}
	return true
}

// stricter reports whether err is one of those with which this package refuses
// what a Python may take, as is said at pymarshal.Checker.
func stricter(err error) bool {
	for _, s := range []string{
		"exceeds a limit",
		"ASCII string with other bytes",
		"no value where one is due",
		"unknown or refused type code", // code objects
		"text that is not UTF-8",       // interned, for Python 2
	} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}
