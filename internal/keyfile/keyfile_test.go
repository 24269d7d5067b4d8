package keyfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"userinfo/internal/keyfile"
)

// asText is a parser that accepts everything.
func asText(text []byte) (string, error) { return string(text), nil }

func TestRead_ChecksPermissionsOfFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "planted-name")
	if err := os.WriteFile(file, []byte("planted-key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, good := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true, 0o604: false, 0o620: false, 0o602: false, 0o644: false, 0o777: false, 0o610: false,
	} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		key, err := keyfile.Read(file, asText)
		if good != (err == nil) || good != (key == "planted-key") || !good && key != "" {
			t.Errorf("mode %04o: %q, %v", mode, key, err)
		}
		if err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("mode %04o: the error contains a secret: %v", mode, err)
		}
	}
}

// TestRead_ChecksTargetOfLinks has the links of a volume of Kubernetes: key → ..data/key, ..data → a directory.
func TestRead_ChecksTargetOfLinks(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Mkdir(in("..2026"), 0o700), os.WriteFile(in("..2026/key"), []byte("key"), 0o400),
		os.Symlink("..2026", in("..data")), os.Symlink("..data/key", in("key"))); err != nil {
		t.Fatal(err)
	}
	if key, err := keyfile.Read(in("key"), asText); err != nil || key != "key" {
		t.Errorf("%q, %v", key, err)
	}
	if err := os.Chmod(in("..2026/key"), 0o404); err != nil {
		t.Fatal(err)
	}
	if key, err := keyfile.Read(in("key"), asText); err == nil || key != "" {
		t.Errorf("with a target that everybody can read: %q", key)
	}
}

func TestRead_RejectsWhatIsNotARegularFile(t *testing.T) {
	for _, file := range []string{t.TempDir(), filepath.Join(t.TempDir(), "planted-missing"), "userinfo-planted-key-1:AAAA", ""} {
		key, err := keyfile.Read(file, asText)
		if err == nil || key != "" {
			t.Errorf("%q: %q, %v", file, key, err)
		} else if strings.Contains(err.Error(), "planted") {
			t.Errorf("the error contains a secret: %v", err)
		}
	}
}

func TestRead_DoesNotWaitForNamedPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.Read(pipe, asText); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error %v", err)
	}
}

func TestRead_ErasesTextAfterParsing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("planted-key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, failure := range []error{nil, errors.New("not a key")} {
		text, err := keyfile.Read(file, func(text []byte) ([]byte, error) {
			if string(text) != "planted-key" {
				t.Errorf("read %q", text)
			}
			return text, failure // against the rule, to see what is left
		})
		if err != failure || string(text) != strings.Repeat("\x00", len("planted-key")) {
			t.Errorf("%q, %v", text, err)
		}
	}
}

func TestRead_RejectsMoreThanMaxBytes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large")
	for size, good := range map[int]bool{0: true, keyfile.MaxBytes: true, keyfile.MaxBytes + 1: false, 1 << 20: false} {
		if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if text, err := keyfile.Read(file, asText); (err == nil) != good || good && len(text) != size {
			t.Errorf("%d bytes: %d bytes, %v", size, len(text), err)
		}
	}
}

func TestReadPublic_RejectsFileThatEverybodyCanWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, []byte("certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o444: true, 0o664: true, 0o666: false, 0o602: false} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		text, err := keyfile.ReadPublic(file)
		if (err == nil) != good || good != (string(text) == "certificate") {
			t.Errorf("mode %04o: %q, %v", mode, text, err)
		}
		if err != nil && !(strings.Contains(err.Error(), file) && strings.Contains(err.Error(), "chmod o-w")) {
			t.Errorf("mode %04o: the error does not say which file and what to do: %v", mode, err)
		}
	}
	if text, err := keyfile.ReadPublic("/dev/null"); err != nil || len(text) != 0 {
		t.Errorf("/dev/null: %q, %v", text, err)
	}
	if _, err := keyfile.ReadPublic(file + "-missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
}

func TestReadSecretOrPublic_AcceptsPublicKeyThatEverybodyCanRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	for text, good := range map[string]bool{
		"-----BEGIN PUBLIC KEY-----\n": true, "-----BEGIN PRIVATE KEY-----\n": false, "userinfo-signature-key-1:AAAA": false, "": false,
		" -----BEGIN PUBLIC KEY-----\n": false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := keyfile.ReadSecretOrPublic(file, asText); (err == nil) != good || good && got != text {
			t.Errorf("%q: %q, %v", text, got, err)
		}
		if _, err := keyfile.Read(file, asText); err == nil {
			t.Errorf("Read accepts %q", text)
		}
	}
	if err := errors.Join(os.WriteFile(file, []byte("-----BEGIN PUBLIC KEY-----\n"), 0o600), os.Chmod(file, 0o646)); err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.ReadSecretOrPublic(file, asText); err == nil {
		t.Error("a public key that everybody can write is accepted")
	}
}

func TestWithoutName_ReturnsReason(t *testing.T) {
	err := keyfile.WithoutName(&fs.PathError{Op: "open", Path: "planted", Err: fs.ErrNotExist})
	if err != fs.ErrNotExist {
		t.Errorf("got %v", err)
	}
	if err := keyfile.WithoutName(fs.ErrClosed); err != fs.ErrClosed {
		t.Errorf("got %v", err)
	}
}
