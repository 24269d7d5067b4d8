// Package python installs Python programs for tests.
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

	"golang.org/x/sys/unix"
)

// installTimeout is several times the usual time.
const installTimeout = 5 * time.Minute

// Install creates a virtual environment with the packages of the file requirements.txt in dir. It returns the environment's
// directory of programs, which contains python. pip refuses a package whose hash is not in that file.
//
// The environment stays in .build and is used again until requirements.txt changes. Tests of several packages may install the same
// environment at the same time. The calling test must be two directories below internal.
func Install(t *testing.T, name, dir string) (bin string) {
	t.Helper()
	file := filepath.Join(dir, "requirements.txt")
	requirements, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(requirements)
	venv, err := filepath.Abs(filepath.Join("..", "..", "..", ".build", name+"-"+hex.EncodeToString(hash[:6])))
	if err != nil {
		t.Fatal(err)
	}
	defer lock(t, venv+".lock").Close()
	bin, complete := filepath.Join(venv, "bin"), filepath.Join(venv, "complete")
	if _, err := os.Stat(complete); err == nil {
		return bin
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), installTimeout)
	defer cancel()
	for _, command := range [][]string{
		{"python3", "-m", "venv", "--clear", venv},
		{filepath.Join(bin, "pip"), "install", "--quiet", "--disable-pip-version-check",
			"--require-hashes", "--requirement", file},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("installing %s: %s: %v (needs python3-venv and access to a package index)\n%s", name, strings.Join(command, " "), err, out)
		}
	}
	if err := os.WriteFile(complete, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return bin
}

// lock returns a file that no other process has locked. Closing the file ends the lock.
func lock(t *testing.T, name string) *os.File {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatalf("locking %s: %v", name, err)
	}
	return f
}
