package keyfile_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"userinfo/internal/keyfile"
)

// watchTest is a Watch of one directory, with a clock that the test moves.
type watchTest struct {
	*keyfile.Watch
	t   *testing.T
	dir string
	now time.Time
}

func newWatchTest(t *testing.T) *watchTest {
	w := &watchTest{t: t, dir: t.TempDir(), now: time.Unix(1000, 0)}
	w.Watch = keyfile.NewWatch(func() time.Time { return w.now })
	return w
}

func (w *watchTest) in(name string) string { return filepath.Join(w.dir, name) }

func (w *watchTest) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *watchTest) write(name, text string) {
	w.t.Helper()
	w.must(os.WriteFile(w.in(name), []byte(text), 0o600))
}

// settle looks at a file until it does not count as changed.
func (w *watchTest) settle(name string) {
	w.t.Helper()
	for range 3 {
		if !w.Changed(w.in(name)) {
			return
		}
		w.now = w.now.Add(2 * time.Second)
	}
	w.t.Fatal("an unchanged file goes on to count as changed")
}

// restoreMtime sets the mtime of a file, as cp --preserve and rsync do.
func (w *watchTest) restoreMtime(name string, of os.FileInfo) {
	w.t.Helper()
	w.must(os.Chtimes(w.in(name), time.Time{}, of.ModTime()))
}

func TestWatch_SeesEveryKindOfChange(t *testing.T) {
	for name, change := range map[string]func(w *watchTest){
		"another size": func(w *watchTest) { w.write("key", "longer than before") },
		"the same size and mtime": func(w *watchTest) {
			before, err := os.Stat(w.in("key"))
			w.must(err)
			for { // until the clock of the file system has moved on
				w.write("key", "KEY")
				w.restoreMtime("key", before)
				after, err := os.Stat(w.in("key"))
				w.must(err)
				if after.Sys().(*syscall.Stat_t).Ctim != before.Sys().(*syscall.Stat_t).Ctim {
					return
				}
			}
		},
		"another file with the same size and mtime is renamed": func(w *watchTest) {
			before, err := os.Stat(w.in("key"))
			w.must(err)
			w.write("new", "KEY")
			w.restoreMtime("new", before)
			w.must(os.Rename(w.in("new"), w.in("key")))
		},
		"another mode":    func(w *watchTest) { w.must(os.Chmod(w.in("key"), 0o644)) },
		"removed":         func(w *watchTest) { w.must(os.Remove(w.in("key"))) },
		"a dangling link": func(w *watchTest) { w.must(os.Remove(w.in("key"))); w.must(os.Symlink("nowhere", w.in("key"))) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatchTest(t)
			w.write("key", "key")
			w.settle("key")
			change(w)
			if !w.Changed(w.in("key")) {
				t.Error("not seen")
			}
		})
	}
}

// TestWatch_SeesSwappedLinks has the links of a volume of Kubernetes: key → ..data/key, ..data → a directory.
func TestWatch_SeesSwappedLinks(t *testing.T) {
	w := newWatchTest(t)
	for _, dir := range []string{"..1", "..2"} {
		w.must(os.Mkdir(w.in(dir), 0o700))
		w.write(dir+"/key", "key")
	}
	info, err := os.Stat(w.in("..1/key"))
	w.must(err)
	w.restoreMtime("..2/key", info)
	w.must(os.Symlink("..1", w.in("..data")))
	w.must(os.Symlink("..data/key", w.in("key")))
	w.settle("key")
	w.must(os.Symlink("..2", w.in("..data_tmp")))
	w.must(os.Rename(w.in("..data_tmp"), w.in("..data")))
	if !w.Changed(w.in("key")) {
		t.Error("not seen")
	}
}

// TestWatch_CountsChangedFileOnceMore rewrites a file in a way that changes no time, as a file system with a coarse clock may do. The
// look after the clock's granule reads it.
func TestWatch_CountsChangedFileOnceMore(t *testing.T) {
	w := newWatchTest(t)
	w.write("key", "key")
	for step, want := range []struct {
		after   time.Duration
		changed bool
	}{{0, true}, {time.Second, true}, {999 * time.Millisecond, true}, {time.Millisecond, true}, {0, false}, {time.Hour, false}} {
		w.now = w.now.Add(want.after)
		if got := w.Changed(w.in("key")); got != want.changed {
			t.Errorf("look %d: changed %v", step, got)
		}
	}
}

func TestWatch_LooksAtEveryFile(t *testing.T) {
	w := newWatchTest(t)
	w.write("a", "a")
	w.write("b", "b")
	w.settle("a")
	w.settle("b")
	both := []string{w.in("a"), w.in("b")}
	if w.Changed(both...) || w.Changed() {
		t.Error("unchanged files count as changed")
	}
	w.write("a", "aa")
	w.write("b", "bb")
	w.now = w.now.Add(time.Minute)
	for range 2 {
		if !w.Changed(both...) {
			t.Error("a change is not seen")
		}
		w.now = w.now.Add(time.Minute)
	}
	if w.Changed(both...) {
		t.Error("the second file was not looked at")
	}
	w.Forget(both[1])
	if w.Changed(both[0]) || !w.Changed(both[1]) {
		t.Error("Forget")
	}
	for range 2 {
		if !w.Changed(w.in("missing")) {
			t.Error("a missing file does not count as changed")
		}
	}
}
