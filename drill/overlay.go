package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed clock.go.txt
var clockSource []byte

// edit is one change of a source file: old, which is there exactly once, becomes new.
type edit struct{ file, old, new string }

// clockEdit gives the program a clock that a drill can put wrong. It is the one difference between the program that is
// drilled and the one that is shipped.
var clockEdit = edit{"cmd/userinfo/service.go", "\tnow := time.Now\n", "\tnow := drillClock()\n"}

// writeOverlay writes what `go build -overlay` takes: the source with the drill's clock and, perhaps, a planted bug. The
// source itself stays as it is.
func writeOverlay(ctx context.Context, dir string, m *mutant) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	edits := []edit{clockEdit}
	if m != nil {
		edits = append(edits, m.edits...)
	}
	texts := make(map[string][]byte)
	for _, e := range edits {
		file := filepath.Join(root, e.file)
		if texts[file] == nil {
			if texts[file], err = os.ReadFile(file); err != nil {
				return "", err
			}
		}
		if n := bytes.Count(texts[file], []byte(e.old)); n != 1 {
			return "", fmt.Errorf("%s has %q %d times, not once: bring the edit of the drill up to date", e.file, e.old, n)
		}
		texts[file] = bytes.Replace(texts[file], []byte(e.old), []byte(e.new), 1)
	}
	texts[filepath.Join(root, "cmd/userinfo/drill_clock.go")] = clockSource
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
		return "", fmt.Errorf("drills build the program from its source; run them in its module: %w", err)
	}
	return string(bytes.TrimSpace(out)), nil
}
