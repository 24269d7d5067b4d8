package testcluster

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRemoveData_KeepsSystemKeyspaces(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"data/system/local-1/a.db", "data/system_auth/roles-1/a.db", "data/userinfo/sessions-1/a.db",
		"data/systematic/t-1/a.db", "commitlog/a.log", "hints/a.hints", "saved_caches/a.db", "elsewhere/a",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeData(dir); err != nil {
		t.Fatal(err)
	}
	var kept []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			kept = append(kept, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"data/system/local-1/a.db", "data/system_auth/roles-1/a.db", "elsewhere/a"}
	if !slices.Equal(kept, want) {
		t.Errorf("kept %q, want %q", kept, want)
	}
}
