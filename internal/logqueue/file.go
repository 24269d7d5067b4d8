package logqueue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"userinfo/internal/keyfile"
)

// fileMode is the mode of a new log file, before the umask.
const fileMode = 0o640

// File is a log file that only grows. Its methods are safe for concurrent use.
type File struct {
	name string
	mu   sync.Mutex // held during a write
	file *os.File
}

// OpenFile opens or creates a log file. It fails closed: it rejects a symbolic link, anything except a regular file with one
// name, and a file or a directory that others can change. So nobody else decides where the records go.
func OpenFile(name string) (*File, error) {
	f, err := openChecked(name)
	if err != nil {
		return nil, err
	}
	return &File{name: name, file: f}, nil
}

// Write appends p to the file.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Write(p)
}

// Reopen opens the file by its name again, after somebody has moved it away. If that fails, the old file stays in use.
func (f *File) Reopen() error {
	next, err := openChecked(f.name)
	if err != nil {
		return err
	}
	f.mu.Lock()
	old := f.file
	f.file = next
	f.mu.Unlock()
	return old.Close()
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}

// CheckFile returns an error if OpenFile would reject the file. The file need not exist, and CheckFile does not create it.
func CheckFile(name string) error {
	if err := checkDirectory(filepath.Dir(name)); err != nil {
		return err
	}
	f, err := openIn(name, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func openChecked(name string) (*os.File, error) { return openIn(name, os.O_CREATE) }

// openIn opens a file and checks it and its directory. The errors do not contain the name.
func openIn(name string, create int) (*os.File, error) {
	if err := checkDirectory(filepath.Dir(name)); err != nil {
		return nil, err
	}
	// With O_NONBLOCK, opening a named pipe does not wait.
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|create, fileMode)
	if errors.Is(err, syscall.ELOOP) {
		return nil, errors.New("is a symbolic link: name the file itself")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot be opened for writing: %w", keyfile.WithoutName(err))
	}
	if err := checkLogFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkDirectory returns an error if others can put another file in place of one in the directory. It fails closed.
func checkDirectory(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("its directory cannot be used: %w", keyfile.WithoutName(err))
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || info.Mode().Perm()&0o002 != 0 || !isTrusted(s.Uid) {
		return errors.New("others can put another file in its place: use a directory that belongs to root or to the service's user, and run `chmod o-w DIRECTORY`")
	}
	return nil
}

// checkLogFile returns an error unless f is a regular file with one name, mode 0640 or stricter, that belongs to the
// process's user or to root. It fails closed.
func checkLogFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("its mode cannot be read: %w", keyfile.WithoutName(err))
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || s.Nlink != 1 {
		return errors.New("is not a regular file with one name: name a file that only the service writes")
	}
	if !isTrusted(s.Uid) {
		return fmt.Errorf("belongs to user %d, who can change it: run `chown %d FILE`", s.Uid, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&^fileMode != 0 {
		return fmt.Errorf("has mode %04o: run `chmod 0640 FILE`, or 0600", mode)
	}
	return nil
}

// isTrusted reports whether a file of this user is root's or the service's own.
func isTrusted(user uint32) bool { return user == 0 || user == uint32(os.Geteuid()) }
