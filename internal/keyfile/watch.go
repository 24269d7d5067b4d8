package keyfile

import (
	"os"
	"syscall"
	"time"
)

// settleTime is longer than the granule of a file's times on every usual file system.
const settleTime = 2 * time.Second

// Watch tells which files may have changed since they were last read. It compares what the kernel says of a file (see version),
// after all symbolic links, and reads nothing. It is for one goroutine.
//
// A file that is written twice within one granule of the file system's clock has the same version twice. So a changed file
// counts as changed once more, at a look at least settleTime later. A process that changes a file through a mapping of its memory
// is noticed only when the kernel updates the file's times.
type Watch struct {
	now   func() time.Time
	files map[string]*watched
}

// watched is what a Watch knows of one file.
type watched struct {
	version version
	since   time.Time // of the first look that saw this version
	settled bool      // the file was read after its version could stay the same in spite of a change
}

// version says which content a file has. A file that is renamed to the name of another has another inode. A symbolic link that
// is replaced leads to another inode. Everything else that changes a file changes its ctime, which nobody can set.
type version struct {
	device, inode uint64
	size          int64
	mtime, ctime  syscall.Timespec
}

// NewWatch returns a Watch that knows no file. now is a clock that does not jump.
func NewWatch(now func() time.Time) *Watch {
	return &Watch{now: now, files: make(map[string]*watched)}
}

// Changed reports whether one of the files may have changed since the last call with the same name, and true at the first call.
// Call it before the files are read, so that a change during the reading is seen at the next call. It fails closed: a file
// that cannot be looked at counts as changed, so that reading it tells why.
func (w *Watch) Changed(names ...string) (changed bool) {
	for _, name := range names { // all of them, because each look counts
		changed = w.look(name) || changed
	}
	return changed
}

// Forget makes the file count as changed at the next call of Changed.
func (w *Watch) Forget(name string) { delete(w.files, name) }

func (w *Watch) look(name string) (changed bool) {
	info, err := os.Stat(name)
	if err != nil {
		w.Forget(name)
		return true
	}
	now, v := w.now(), versionOf(info.Sys().(*syscall.Stat_t))
	f := w.files[name]
	if f == nil || f.version != v {
		w.files[name] = &watched{version: v, since: now}
		return true
	}
	if f.settled {
		return false
	}
	f.settled = now.Sub(f.since) >= settleTime
	return true
}

func versionOf(s *syscall.Stat_t) version {
	return version{uint64(s.Dev), s.Ino, s.Size, s.Mtim, s.Ctim}
}
