package history

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestHistory_ReadReturnsWhatWriteWrote(t *testing.T) {
	file := filepath.Join(t.TempDir(), "h.json.gz")
	h := &History{
		Name: "n", Seed: 7, Began: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC), Rate: 80, Fence: time.Minute,
		Datacentres: []string{"dc1", "dc2"}, Environment: map[string]string{"go": "1.26"},
		Faults:     []Fault{{Name: "f", Begin: 1, End: 2, Recovered: 3, Expect: OneNode}},
		Operations: []Operation{{ID: 1, Method: Set, Key: "k", Status: 204, Version: 1}},
	}
	if err := h.Write(file); err != nil {
		t.Fatal(err)
	}
	got, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, h) {
		t.Errorf("read %+v, want %+v", got, h)
	}
}

func TestRead_RejectsAFileThatIsNoHistory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "h.json.gz")
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, file + ".missing"} {
		if _, err := Read(name); err == nil {
			t.Errorf("no error for %s", name)
		}
	}
}
