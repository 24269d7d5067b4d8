// Package python installs programs of Python for tests.
package python

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// installLimit is several times what it takes.
const installLimit = 5 * time.Minute

// Install gives the directory of the programs, python among them, of a virtual environment with what the file
// requirements.txt pins. It is kept for the next time, under a name of its content. The test's package lies two
// directories below internal.
func Install(t *testing.T, name string) (bin string) {
	t.Helper()
	requirements, err := os.ReadFile("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(requirements)
	venv, err := filepath.Abs(filepath.Join("..", "..", "..", ".build", name+"-"+hex.EncodeToString(hash[:6])))
	if err != nil {
		t.Fatal(err)
	}
	bin, whole := filepath.Join(venv, "bin"), filepath.Join(venv, "whole")
	if _, err := os.Stat(whole); err == nil {
		return bin
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), installLimit)
	defer cancel()
	for _, command := range [][]string{
		{"python3", "-m", "venv", "--clear", venv},
		{filepath.Join(bin, "pip"), "install", "--quiet", "--disable-pip-version-check", "--requirement", "requirements.txt"},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("installing %s: %s: %v; it takes python3-venv and a package index\n%s", name, strings.Join(command, " "), err, out)
		}
	}
	if err := os.WriteFile(whole, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return bin
}
