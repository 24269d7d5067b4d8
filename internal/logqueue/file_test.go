package logqueue

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func openTestFile(t *testing.T, name string) *File {
	t.Helper()
	f, err := OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func wantFile(t *testing.T, name, want string) {
	t.Helper()
	if got, err := os.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("%s has %q, %v; want %q", filepath.Base(name), got, err, want)
	}
}

func TestFile_AppendsAndReopens(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(name, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := openTestFile(t, name)
	fmt.Fprintln(f, 1)
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, 2) // until it is told, the moved file goes on
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, 3)
	wantFile(t, name+".1", "before\n1\n2\n")
	wantFile(t, name, "3\n")
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm()&^fileMode != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestFile_FailedReopenKeepsOldFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.log")
	f := openTestFile(t, name)
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(name+".1", name); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("error %v", err)
	}
	fmt.Fprintln(f, 1)
	wantFile(t, name+".1", "1\n")
}

func TestOpenFile_Rejects(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(file string) error
		want string // in the error; "" if the file is accepted
	}{
		{"nothing", func(string) error { return nil }, ""},
		{"mode 0600", func(f string) error { return os.WriteFile(f, nil, 0o600) }, ""},
		{"mode 0640", func(f string) error { return os.WriteFile(f, nil, 0o640) }, ""},
		{"mode 0644", func(f string) error { return writeWithMode(f, 0o644) }, "chmod 0640"},
		{"mode 0660", func(f string) error { return writeWithMode(f, 0o660) }, "chmod 0640"},
		{"a symbolic link", func(f string) error { return os.Symlink(f+".target", f) }, "symbolic link"},
		{"a second name", func(f string) error {
			if err := os.WriteFile(f+".other", nil, 0o600); err != nil {
				return err
			}
			return os.Link(f+".other", f)
		}, "one name"},
		{"a named pipe", func(f string) error { return syscall.Mkfifo(f, 0o600) }, "opened"},
		{"a directory", func(f string) error { return os.Mkdir(f, 0o700) }, "opened"},
		{"a directory for everybody", func(f string) error { return os.Chmod(filepath.Dir(f), 0o777) }, "chmod o-w"},
		{"no directory", func(f string) error { return os.Remove(filepath.Dir(f)) }, "directory cannot be used"},
	} {
		file := filepath.Join(t.TempDir(), "secret-name")
		if err := test.make(file); err != nil {
			t.Fatal(err)
		}
		_, before := os.Lstat(file)
		checked := CheckFile(file)
		if _, after := os.Lstat(file); (before == nil) != (after == nil) {
			t.Errorf("%s: CheckFile has created the file", test.name)
		}
		f, err := OpenFile(file)
		if err == nil {
			_ = f.Close()
		}
		if (err == nil) != (checked == nil) {
			t.Errorf("%s: OpenFile says %v, CheckFile %v", test.name, err, checked)
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v; want %q", test.name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret-name") {
			t.Errorf("%s: the error has the name: %v", test.name, err)
		}
	}
	if _, err := OpenFile("/dev/full"); err == nil {
		t.Error("a device is accepted")
	}
}

func writeWithMode(file string, mode os.FileMode) error {
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	return os.Chmod(file, mode)
}
