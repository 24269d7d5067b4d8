//go:build integration

// Package openapi has schemathesis hold a running service to its OpenAPI description: requests made from it, right and
// wrong, alone and in sequence, and every answer compared with it.
package openapi

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"userinfo/api"
	"userinfo/internal/e2e/devserver"
	"userinfo/internal/e2e/python"
)

// runLimit is several times what it takes.
const runLimit = 90 * time.Second

func TestTheServiceIsAsItsDescriptionSays(t *testing.T) {
	tool := filepath.Join(python.Install(t, "schemathesis"), "schemathesis")
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
