package fleet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteOverlay_ReplacesTextAndAddsFiles(t *testing.T) {
	name, err := WriteOverlay(t.Context(), t.TempDir(), []Edit{
		{File: "internal/fleet/overlay.go", Old: "package fleet", New: "package edited"},
		{File: "internal/fleet/overlay.go", Old: "func moduleRoot(", New: "func root("},
	}, map[string][]byte{"internal/fleet/new.go": []byte("package new")})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var overlay struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &overlay); err != nil {
		t.Fatal(err)
	}
	contents := make(map[string]string)
	for file, replacement := range overlay.Replace {
		text, err := os.ReadFile(replacement)
		if err != nil {
			t.Fatal(err)
		}
		contents[filepath.Base(file)] = string(text)
	}
	edited := contents["overlay.go"]
	if !strings.Contains(edited, "package edited") || !strings.Contains(edited, "func root(") {
		t.Errorf("the edited file is\n%s", edited)
	}
	if len(contents) != 2 || contents["new.go"] != "package new" {
		t.Errorf("the overlay replaces %v", overlay.Replace)
	}
}

func TestWriteOverlay_RejectsEditThatDoesNotMatchOnce(t *testing.T) {
	for name, old := range map[string]string{"no match": "no such " + "text", "many matches": "return"} {
		t.Run(name, func(t *testing.T) {
			_, err := WriteOverlay(t.Context(), t.TempDir(), []Edit{{File: "internal/fleet/overlay.go", Old: old}}, nil)
			if err == nil || !strings.Contains(err.Error(), "want once") {
				t.Errorf("error %v, want one that the edit does not match once", err)
			}
		})
	}
}
