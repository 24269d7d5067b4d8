// Package pagetest is for tests of reports.
package pagetest

import (
	"os"
	"path/filepath"
	"testing"
)

// Written are the files, by name, that a report writes into a directory that does not exist before.
func Written(t *testing.T, write func(dir string) error) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "new", "report")
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[name.Name()] = string(text)
	}
	return files
}
