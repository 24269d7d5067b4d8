package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSessionKey_IgnoresLineEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	for text, want := range map[string]string{"enwiki:1": "enwiki:1", "enwiki:1\n": "enwiki:1", "enwiki:1\r\n": "enwiki:1", "a\n\n": "a\n", " a ": " a "} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := readSessionKey(file); err != nil || string(key) != want {
			t.Errorf("%q: %q, %v", text, string(key), err)
		}
	}
}

func TestReadSessionKey_RejectsEmptyAndHidesName(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{empty, "enwiki:planted"} {
		key, err := readSessionKey(name)
		if err == nil || key != "" || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestReadSessionKey_RejectsFileThatOthersCanRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("enwiki:1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if key, err := readSessionKey(file); err == nil || key != "" || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("error %v", err)
	}
}
