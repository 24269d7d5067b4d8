//go:build integration

// Package upgrade tests that two versions of the program work side by side: instances are upgraded and downgraded one by one
// while clients use them.
package upgrade

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// oldCommit is the version that is upgraded from. After a release, name its commit here.
const oldCommit = "43d9416a0b9c"

// git runs git in the repository of this package.
func git(ctx context.Context, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, "git", args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w\n%s", args[0], err, &stderr)
	}
	return out, nil
}

// buildCommit builds the program of a commit in the directory dir, and returns its path.
func buildCommit(ctx context.Context, dir, commit string) (program string, err error) {
	if _, err := git(ctx, "cat-file", "-e", commit+"^{commit}"); err != nil {
		return "", fmt.Errorf("commit %s, the version to upgrade from, is not in this clone; fetch the whole history (git fetch --unshallow): %w", commit, err)
	}
	root, err := git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", err
	}
	archive := filepath.Join(dir, "old.tar")
	if _, err := git(ctx, "-C", strings.TrimSpace(string(root)), "archive", "--output", archive, commit); err != nil {
		return "", err
	}
	source := filepath.Join(dir, "old")
	if err := os.Mkdir(source, 0o755); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "tar", "-x", "-f", archive, "-C", source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpacking %s: %w\n%s", archive, err, out)
	}
	program = filepath.Join(dir, "userinfo-old")
	c := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/userinfo")
	c.Dir = source
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building commit %s: %w\n%s", commit, err, out)
	}
	return program, nil
}

func TestBuildCommit_NamesMissingCommit(t *testing.T) {
	const missing = "0123456789012345678901234567890123456789"
	program, err := buildCommit(t.Context(), t.TempDir(), missing)
	if err == nil || !strings.Contains(err.Error(), "commit "+missing+", the version to upgrade from, is not in this clone") {
		t.Errorf("got program %q and error %v", program, err)
	}
}
