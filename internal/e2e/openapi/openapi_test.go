//go:build integration

// Package openapi has schemathesis hold a running service to its OpenAPI description: requests made from it, right and
// wrong, alone and in sequence, and every answer compared with it.
package openapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"userinfo/api"
	"userinfo/internal/e2e/devserver"
)

const (
	// installLimit and runLimit are several times what it takes.
	installLimit = 5 * time.Minute
	runLimit     = 90 * time.Second
)

// requirements pins schemathesis and all that it needs.
//
//go:embed requirements.txt
var requirements []byte

func TestTheServiceIsAsItsDescriptionSays(t *testing.T) {
	tool := install(t)
	service := devserver.Start(t)
	if said, err := run(t, tool, service, api.Description); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	// What says nothing of a wrong description would say nothing of a wrong service.
	wrong := bytes.Replace(api.Description, []byte("maximum: 86400"), []byte("maximum: 86401"), 1)
	if said, err := run(t, tool, service, wrong, "--include-operation-id=touch", "--phases=coverage"); err == nil {
		t.Errorf("a description with a TTL that the service refuses is not found to be wrong:\n%s", said)
	} else if !strings.Contains(said, "Schema-valid request rejected") {
		t.Errorf("a description with a TTL that the service refuses is found wrong for another reason: %v\n%s", err, said)
	}
}

// run returns what schemathesis said, and an error where it found something.
func run(t *testing.T, tool string, s *devserver.Server, description []byte, flags ...string) (said string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	dir := t.TempDir() // schemathesis leaves files where it runs
	token, err := os.ReadFile(s.TokenFile)
	if err := errors.Join(err, os.CopyFS(dir, os.DirFS("schemathesis")),
		os.WriteFile(filepath.Join(dir, "openapi.yaml"), description, 0o600)); err != nil {
		t.Fatal("preparing schemathesis: ", err)
	}
	args := append([]string{"run", "openapi.yaml", "--checks=all", "--no-color", "--url=" + s.Origin(), "--tls-verify=" + s.CAFile}, flags...)
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	// Nothing else, lest a proxy that the environment names come between.
	cmd.Env = []string{
		"USERINFO_TOKEN=" + strings.TrimSpace(strings.TrimPrefix(string(token), "Authorization: Bearer ")),
		"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "PYTHONUTF8=1",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// install gives the path of schemathesis, in a virtual environment that is kept for the next time.
func install(t *testing.T) string {
	t.Helper()
	hash := sha256.Sum256(requirements)
	venv, err := filepath.Abs(filepath.Join("..", "..", "..", ".build", "schemathesis-"+hex.EncodeToString(hash[:6])))
	if err != nil {
		t.Fatal(err)
	}
	tool, whole := filepath.Join(venv, "bin", "schemathesis"), filepath.Join(venv, "whole")
	if _, err := os.Stat(whole); err == nil {
		return tool
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), installLimit)
	defer cancel()
	for _, command := range [][]string{
		{"python3", "-m", "venv", "--clear", venv},
		{filepath.Join(venv, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--requirement", "requirements.txt"},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("installing schemathesis: %s: %v; it takes python3-venv and a package index\n%s", strings.Join(command, " "), err, out)
		}
	}
	if err := os.WriteFile(whole, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return tool
}
