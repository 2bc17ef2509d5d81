package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestAFileHoldsWhatWasPutWhenItIsOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.json")
	f := openFile(t, path)
	want := make(map[string]string)
	for i, key := range oddKeys {
		want[key] = fmt.Sprintf("\x00\xff\u2028 %d", i)
		put(t, f, key, want[key], 0)
	}
	gone := put(t, f, "gone", "x", 0)
	if err := f.Delete(ctx, "gone", gone); err != nil {
		t.Fatal(err)
	}
	before, _ := f.Get(ctx, "a")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Put(ctx, "a", nil, Any); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a put after Close: %v", err)
	}
	again := openFile(t, path)
	if got := content(t, again); !maps.Equal(got, want) {
		t.Errorf("holds %q, want %q", got, want)
	}
	if after, _ := again.Get(ctx, "a"); after.Version != before.Version {
		t.Errorf("version %d became %d", before.Version, after.Version)
	}
	if v := put(t, again, "gone", "x", 0); v <= gone {
		t.Errorf("version %d comes after %d", v, gone)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	left, _ := filepath.Glob(path + "*")
	if fmt.Sprint(left) != fmt.Sprint([]string{path, path + ".lock"}) {
		t.Errorf("%q are there", left)
	}
}

func TestAFileIsForOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.json")
	first := openFile(t, path)
	// Another open of the lock is to flock what another process is.
	if _, err := OpenFile(path, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("the second is let in: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(link, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("the second is let in by a link: %v", err)
	}
	first.Close()
	second := openFile(t, link)
	put(t, second, "a", "1", 0)
	if target, err := os.Readlink(link); err != nil || target != path {
		t.Errorf("the link was replaced: %v", err)
	}
}

func TestADamagedFileIsLeftAsItIs(t *testing.T) {
	good := `{"format":"pyro-dispatch store 1","version":2,"entries":[{"key":"a","version":1,"value":"x"}]}`
	damaged := map[string]string{
		"empty":           "",
		"cut off":         good[:len(good)-2],
		"followed":        good + "{}",
		"other format":    strings.Replace(good, "store 1", "store 2", 1),
		"no entries":      `{"format":"pyro-dispatch store 1","version":2}`,
		"null":            "null",
		"twice":           strings.Replace(good, `}]`, `},{"key":"a","version":2,"value":"y"}]`, 1),
		"no key":          strings.Replace(good, `"key":"a",`, ``, 1),
		"two keys":        strings.Replace(good, `"key":"a",`, `"key":"a","key_base64":"YQ==",`, 1),
		"no value":        strings.Replace(good, `,"value":"x"`, ``, 1),
		"two values":      strings.Replace(good, `"value":"x"`, `"value":"x","value_base64":"YQ=="`, 1),
		"no version":      strings.Replace(good, `"version":1,`, ``, 1),
		"later version":   strings.Replace(good, `"version":1,`, `"version":3,`, 1),
		"unknown field":   strings.Replace(good, `"version":1,`, `"version":1,"more":1,`, 1),
		"zeros":           strings.Repeat("\x00", 100),
		"not UTF-8":       strings.Replace(good, `"x"`, "\"\xff\"", 1),
		"bad base64":      strings.Replace(good, `"value":"x"`, `"value_base64":"!"`, 1),
		"too long a key":  strings.Replace(good, `"a"`, `"`+strings.Repeat("k", MaxKey+1)+`"`, 1),
		"another program": `{"version": "3", "services": {}}`,
	}
	if _, err := decode([]byte(good), limits{entries: 1, bytes: 2}); err != nil {
		t.Fatalf("what is good is refused: %v", err)
	}
	for _, l := range []limits{{entries: 0, bytes: 2}, {entries: 1, bytes: 1}} {
		if _, err := decode([]byte(good), l); !errors.Is(err, ErrFull) {
			t.Errorf("beyond %v: %v", l, err)
		}
	}
	for name, data := range damaged {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.json")
			if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenFile(path, nil)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("error %v", err)
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != data {
				t.Errorf("the file was changed to %q, %v", now, err)
			}
			// Its lock is free again, so that it can be opened once it is repaired.
			if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
				t.Fatal(err)
			}
			openFile(t, path)
		})
	}
}

func TestAFileThatCannotBeMadeShowsAtOnce(t *testing.T) {
	if _, err := OpenFile(filepath.Join(t.TempDir(), "missing", "store.json"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := OpenFile(t.TempDir(), nil); err == nil {
		t.Error("a directory is taken for a store")
	}
}

var errDisk = errors.New("no space left on device")

func TestWhatDoesNotReachTheDiskIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.json")
	f := openFile(t, path)
	put(t, f, "a", "1", 0)
	f.replace = func(string, []byte) error { return errDisk }
	if _, err := f.Put(ctx, "a", []byte("2"), Any); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errDisk) {
		t.Errorf("put: %v", err)
	}
	if err := f.Delete(ctx, "a", Any); !errors.Is(err, ErrUnavailable) {
		t.Errorf("delete: %v", err)
	}
	if _, err := f.Put(ctx, "a", []byte("2"), 77); !errors.Is(err, ErrConflict) {
		t.Errorf("a put in conflict: %v", err)
	}
	if got := content(t, f)["a"]; got != "1" {
		t.Errorf("holds %q", got)
	}
	f.replace = replaceFile
	put(t, f, "b", "2", 0)
	f.Close()
	if got := content(t, openFile(t, path)); !maps.Equal(got, map[string]string{"a": "1", "b": "2"}) {
		t.Errorf("the file holds %q", got)
	}
}

// Nothing may be answered before it is on the disk, and what waits shares a writing.
func TestChangesShareAWriting(t *testing.T) {
	f := openFile(t, filepath.Join(t.TempDir(), "store.json"))
	writings, first, proceed := 0, make(chan struct{}), make(chan struct{})
	f.replace = func(path string, data []byte) error {
		if writings++; writings == 1 {
			close(first)
			<-proceed
		}
		return replaceFile(path, data)
	}
	var group sync.WaitGroup
	group.Go(func() { put(t, f, "first", "1", 0) })
	<-first
	for i := range 50 {
		group.Go(func() { put(t, f, fmt.Sprint(i), "1", 0) })
	}
	for waiting := 0; waiting < 50; {
		f.queue.Lock()
		waiting = len(f.waiting)
		f.queue.Unlock()
	}
	if got := content(t, f); len(got) != 0 {
		t.Errorf("%q is there before it is on the disk", got)
	}
	close(proceed)
	group.Wait()
	if got := content(t, f); len(got) != 51 || writings != 2 {
		t.Errorf("%d entries in %d writings", len(got), writings)
	}
}

func TestAStoreIsBounded(t *testing.T) {
	m := NewMemory()
	m.limits = limits{entries: 2, bytes: 11}
	f := openFile(t, filepath.Join(t.TempDir(), "store.json"))
	f.limits = m.limits
	for _, s := range []Store{m, f} {
		put(t, s, "a", "1234", 0)
		put(t, s, "b", "1234", 0)
		for key, value := range map[string]string{"c": "", "a": "123456"} {
			if _, err := s.Put(ctx, key, []byte(value), Any); !errors.Is(err, ErrFull) {
				t.Errorf("Put(%q, %q): %v", key, value, err)
			}
		}
		put(t, s, "a", "4321", Any)
		if err := s.Delete(ctx, "a", Any); err != nil {
			t.Error(err)
		}
		put(t, s, "c", "1234", 0)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"format":"pyro-dispatch store 1","version":2,"entries":[{"key":"a","version":1,"value":"x"},{"key_base64":"/w==","version":2,"value_base64":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decode(data, limits{entries: 10, bytes: 100})
		if err != nil {
			return
		}
		written, err := encode(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(written, limits{entries: 10, bytes: 100})
		if err != nil || again.version != s.version || !maps.EqualFunc(again.entries, s.entries, Entry.equal) {
			t.Errorf("%q is read back as %v, %v", written, again, err)
		}
	})
}
