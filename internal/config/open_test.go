package config

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"userinfo/access/signature"
	"userinfo/store/seal"
)

func newIndexKey(t *testing.T) string {
	t.Helper()
	k, err := seal.NewIndexKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k.Text()
}

func newSealKey(t *testing.T) string {
	t.Helper()
	k, err := seal.NewSealKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k.Text()
}

// openMinimal writes the minimal configuration, changed by edit, and its files, and opens it from another directory.
func openMinimal(t *testing.T, edit func(dir, text string) string) (*Opened, error) {
	t.Helper()
	dir := t.TempDir()
	writeMinimalFiles(t, dir)
	name := filepath.Join(dir, "u.yaml")
	if err := os.WriteFile(name, []byte(edit(dir, minimal)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return f.Open(time.Now)
}

func TestFile_Open_FindsFilesBesideTheConfiguration(t *testing.T) {
	o, err := openMinimal(t, func(_, text string) string { return text })
	if err != nil {
		t.Fatal(err)
	}
	if o.Password != "password" || o.Snapshot.Server == nil || o.Snapshot.Cassandra == nil || o.Snapshot.SealKeys == nil {
		t.Errorf("opened %+v", o.Snapshot)
	}
}

func TestFile_Open_FindsFilesByAbsoluteName(t *testing.T) {
	_, err := openMinimal(t, func(dir, text string) string {
		elsewhere := t.TempDir()
		for _, name := range []string{"server.crt", "server.key", "ca.crt", "password", "index.key", "seal.key"} {
			if err := os.Rename(filepath.Join(dir, name), filepath.Join(elsewhere, name)); err != nil {
				t.Fatal(err)
			}
			text = strings.Replace(text, ": "+name, ": "+filepath.Join(elsewhere, name), 1)
			text = strings.Replace(text, "["+name, "["+filepath.Join(elsewhere, name), 1)
		}
		return text
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFile_Open_ReportsAllMistakesWithTheirLines(t *testing.T) {
	_, err := openMinimal(t, func(dir, text string) string {
		for _, name := range []string{"server.key", "password", "seal.key"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return text
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"u.yaml:2: tls.key: ", "u.yaml:7: cassandra.password_file: the file is empty", "u.yaml:17: seal.keys[0]: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not contain %q:\n%v", want, err)
		}
	}
}

func TestFile_Open_DoesNotPrintPasswordInPlaceOfItsFile(t *testing.T) {
	_, err := openMinimal(t, func(_, text string) string {
		return strings.Replace(text, "password_file: password", "password_file: hunter2", 1)
	})
	if err == nil || !strings.Contains(err.Error(), "u.yaml:7: cassandra.password_file: cannot be read: no such file or directory; name a file") ||
		strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

func TestFile_Open_RejectsOneSignatureKeyForTwoClients(t *testing.T) {
	_, err := openMinimal(t, func(dir, text string) string {
		secret, err := signature.NewSecret(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "s.key"), []byte(secret.Text()), 0o600); err != nil {
			t.Fatal(err)
		}
		return strings.Replace(text, "seal:", `  - {name: a, grants: [metrics:get], signature_keys: [{id: a-1, file: s.key}]}
  - {name: b, grants: [metrics:get], signature_keys: [{id: b-1, file: s.key}]}
seal:`, 1)
	})
	if err == nil || !strings.Contains(err.Error(), `clients[2].signature_keys[0].file: holds the key of client "a"`) {
		t.Errorf("error %v", err)
	}
}
