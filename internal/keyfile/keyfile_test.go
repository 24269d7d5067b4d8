package keyfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"userinfo/internal/keyfile"
)

// asText is a parser that accepts everything.
func asText(text []byte) (string, error) { return string(text), nil }

func TestRead_AcceptsOnlyFileThatItsOwnerAloneCanUse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "planted-name")
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
		key, err := keyfile.Read(file, asText)
		if good != (err == nil) || good != (key == "planted-key") || !good && key != "" {
			t.Errorf("mode %04o: %q, %v", mode, key, err)
		}
		if err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("mode %04o: the error contains a secret: %v", mode, err)
		}
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

func TestRead_ReadsAtMostMaxBytes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := keyfile.Read(file, asText); err != nil || len(text) != keyfile.MaxBytes {
		t.Errorf("%d bytes, %v", len(text), err)
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
