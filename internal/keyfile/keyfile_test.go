package keyfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"userinfo/internal/keyfile"
)

func whole(text []byte) (string, error) { return string(text), nil }

func TestOnlyAFileOfItsOwnerAloneHoldsAKey(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "planted-name")
	if err := os.WriteFile(file, []byte("planted-key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, good := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true,
		0o640: false, 0o604: false, 0o620: false, 0o602: false, 0o644: false, 0o777: false, 0o610: false,
	} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		key, err := keyfile.Read(file, whole)
		if good != (err == nil) || good != (key == "planted-key") || !good && key != "" {
			t.Errorf("mode %04o: %q, %v", mode, key, err)
		}
		if err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("mode %04o: the error tells too much: %v", mode, err)
		}
	}
}

func TestWhatIsNoFileHoldsNoKey(t *testing.T) {
	for _, file := range []string{t.TempDir(), filepath.Join(t.TempDir(), "planted-missing"), "userinfo-planted-key-1:AAAA", ""} {
		key, err := keyfile.Read(file, whole)
		if err == nil || key != "" {
			t.Errorf("%q holds %q", file, key)
		} else if strings.Contains(err.Error(), "planted") {
			t.Errorf("the error tells too much: %v", err)
		}
	}
}

func TestNoMoreThanAKeyIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := keyfile.Read(file, whole); err != nil || len(text) != keyfile.MaxBytes {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
