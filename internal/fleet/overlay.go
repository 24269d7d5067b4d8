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

// Edit replaces text in one source file of the module. Old must occur in File exactly once.
type Edit struct {
	File     string // relative to the root of the module
	Old, New string
}

// WriteOverlay writes a file for go build -overlay to dir and returns its path. The overlay applies edits to the
// module's source and adds the files of added, which are named relative to the root of the module. The source itself
// does not change.
func WriteOverlay(ctx context.Context, dir string, edits []Edit, added map[string][]byte) (string, error) {
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
			return "", fmt.Errorf("%s contains %q %d times, want once: adapt the edit to the source", e.File, e.Old, n)
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
		return "", fmt.Errorf("finding the source of userinfo, run this inside its module: %w", err)
	}
	return string(bytes.TrimSpace(out)), nil
}
