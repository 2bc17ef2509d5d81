//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/values"
	"github.com/pyro-dispatch/pyro-dispatch/wire"
)

// registryName is what clients and listeners look up, as in Pyro's example.
const registryName = "example.blobdispatcher"

func (p protocol) dialect() wire.Dialect { return wire.Dialect(p) }

// fetchExample finds the dispatcher of Pyro's example blob-dispatch in a library's source
// distribution, which it fetches into the venv if it is not there, in the installed version.
func fetchExample(ctx context.Context, python string, p protocol) (script string, err error) {
	version := output(ctx, python, "-c", fmt.Sprintf("from importlib.metadata import version; print(version(%q))", p))
	if version == "" {
		return "", fmt.Errorf("%s is not installed for %s", p, python)
	}
	kept := filepath.Join(filepath.Dir(filepath.Dir(python)), "sources")
	script = filepath.Join(kept, fmt.Sprintf("%s-%s", p, version), "examples", "blob-dispatch", "dispatcher", "dispatcher.py")
	if _, err := os.Stat(script); err == nil {
		return script, nil
	}
	if err := os.MkdirAll(kept, 0o777); err != nil {
		return "", err
	}
	part, err := os.MkdirTemp(kept, "part-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part)
	pip := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", part,
		"--no-deps", "--no-binary", p.String(), p.String()+"=="+version)
	if out, err := pip.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", pip, err, out)
	}
	archives, err := filepath.Glob(filepath.Join(part, "*.tar.gz"))
	if err != nil || len(archives) != 1 {
		return "", errors.Join(fmt.Errorf("pip fetched %q", archives), err)
	}
	unpack := exec.CommandContext(ctx, python, "-m", "tarfile", "--extract", archives[0], part)
	if out, err := unpack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", unpack, err, out)
	}
	// How the project's name is spelt differs between archives.
	unpacked, err := filepath.Glob(filepath.Join(part, "*-"+version))
	if err != nil || len(unpacked) != 1 {
		return "", errors.Join(fmt.Errorf("%s holds %q", archives[0], unpacked), err)
	}
	if err := os.Rename(unpacked[0], filepath.Join(kept, fmt.Sprintf("%s-%s", p, version))); err != nil {
		return "", err
	}
	_, err = os.Stat(script)
	return script, err
}

// pythonDispatcher is the example's dispatcher, with the name server that it needs to start.
type pythonDispatcher struct {
	names *child
	blobDispatcher
}

// startPython starts the example as it is. servertype is Pyro's setting, "thread" or
// "multiplex"; the thread pool is made large enough for the most clients.
func startPython(ctx context.Context, python string, p protocol, servertype string) (d *pythonDispatcher, err error) {
	script, err := fetchExample(ctx, python, p)
	if err != nil {
		return nil, err
	}
	address, err := freeAddr()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	env := slices.Concat(os.Environ(), []string{
		"PYRO_NS_HOST=" + host, "PYRO_NS_PORT=" + port, "PYRO_HOST=127.0.0.1", "PYTHONDONTWRITEBYTECODE=1",
		"PYRO_SERVERTYPE=" + servertype, "PYRO_THREADPOOL_SIZE=200",
	})
	module := map[protocol]string{pyro4: "Pyro4.naming", pyro5: "Pyro5.nameserver"}[p]
	d = &pythonDispatcher{}
	defer func() {
		if err != nil {
			d.stop()
		}
	}()
	names := exec.Command(python, "-m", module, "-n", host, "-p", port, "-x")
	names.Env = env
	if d.names, err = startChild(ctx, p.String()+"'s name server", names); err != nil {
		return nil, err
	}
	if _, err := awaitName(ctx, d.names, address, p, "Pyro.NameServer"); err != nil {
		return nil, err
	}
	cmd := exec.Command(python, script)
	cmd.Env, cmd.Dir = env, filepath.Dir(script)
	// Its standard output, a line for each blob, goes nowhere: the cheapest place.
	if d.child, err = startChild(ctx, p.String()+"'s example", cmd); err != nil {
		return nil, err
	}
	uri, err := awaitName(ctx, d.child, address, p, registryName)
	if err != nil {
		return nil, err
	}
	d.addr, d.object = net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port)), uri.Object
	return d, nil
}

func (d *pythonDispatcher) stop() {
	d.child.stop()
	d.names.stop()
}

// awaitName waits until a name server knows a name, which c is to register.
func awaitName(ctx context.Context, c *child, server string, p protocol, name string) (values.URI, error) {
	var uri values.URI
	err := c.await(ctx, func(ctx context.Context) error {
		found, err := callOnce(ctx, server, p, "Pyro.NameServer", "lookup", name)
		if err != nil {
			return err
		}
		var ok bool
		if uri, ok = found.(values.URI); !ok {
			return fmt.Errorf("the name server knows %s as %v", name, found)
		}
		return nil
	})
	return uri, err
}

// await waits until try succeeds, or the process ends.
func (c *child) await(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if failure := c.failure(); failure != nil {
			return failure
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", c.name, err, c.stderr.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// callOnce makes one call on a connection of its own.
func callOnce(ctx context.Context, addr string, p protocol, object, method string, args ...values.Value) (values.Value, error) {
	c, err := control.Dial(ctx, control.ClientConfig{Address: addr, Dialect: p.dialect(), Object: object})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Call(ctx, method, args, nil)
}

// findPython is the interpreter of the tests' venv.
func findPython(ctx context.Context) (string, error) {
	root := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}")
	if root == "" {
		return "", errors.New("looking for the module's directory: go list failed")
	}
	cmd := exec.CommandContext(ctx, "sh", filepath.Join(root, "integration", "venv.sh"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// pythonVersions says which Python and which libraries are measured.
func pythonVersions(ctx context.Context, python string) string {
	return output(ctx, python, "-c", "import sys\nfrom importlib.metadata import version\n"+
		"print('%d.%d.%d' % sys.version_info[:3] + ', Pyro4 ' + version('Pyro4') + ', Pyro5 ' + version('Pyro5') + ', serpent ' + version('serpent'))")
}
