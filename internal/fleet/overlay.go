package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Edit is one change of a source file of the module: Old, which is there exactly once, becomes New.
type Edit struct{ File, Old, New string }

// Overlay writes, in dir, what Build takes to make an edited program: the source with edits, and with the files of added
// beside it, by their names in the module. The source itself stays as it is. An edit that does not fit is an error.
func Overlay(ctx context.Context, dir string, edits []Edit, added map[string][]byte) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	texts := make(map[string][]byte)
	for _, e := range edits {
		file := filepath.Join(root, e.File)
		if texts[file] == nil {
			if texts[file], err = os.ReadFile(file); err != nil {
				return "", err
			}
		}
		if n := bytes.Count(texts[file], []byte(e.Old)); n != 1 {
			return "", fmt.Errorf("%s has %q %d times, not once: bring the edit up to date", e.File, e.Old, n)
		}
		texts[file] = bytes.Replace(texts[file], []byte(e.Old), []byte(e.New), 1)
	}
	for name, text := range added {
		texts[filepath.Join(root, name)] = text
	}
	replace := make(map[string]string)
	for file, text := range texts {
		changed := filepath.Join(dir, fmt.Sprintf("overlay-%d-%s", len(replace), filepath.Base(file)))
		if err := os.WriteFile(changed, text, 0o600); err != nil {
			return "", err
		}
		replace[file] = changed
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("the program is built from its source, edited; run this in its module: %w", err)
	}
	return string(bytes.TrimSpace(out)), nil
}
