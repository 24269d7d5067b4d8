//go:build integration

// Package openapi tests a running service against its OpenAPI description with schemathesis, which generates valid and
// invalid requests and sequences of requests from the description, and compares every response with it.
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

// runTimeout is several times the usual time of a run. The answer to each wrong password takes half a second.
const runTimeout = 6 * time.Minute

func TestDescription_MatchesService(t *testing.T) {
	tool := filepath.Join(python.Install(t, "schemathesis", "."), "schemathesis")
	service := devserver.Start(t)
	if out, err := run(t, tool, service, api.Description); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// A wrong description must be reported too. Otherwise the run above would prove nothing.
	wrong := bytes.Replace(api.Description, []byte("maximum: 86400"), []byte("maximum: 86401"), 1)
	if out, err := run(t, tool, service, wrong, "--include-operation-id=touch", "--phases=coverage"); err == nil {
		t.Errorf("a description that allows a TTL which the service refuses was accepted:\n%s", out)
	} else if !strings.Contains(out, "Schema-valid request rejected") {
		t.Errorf("a description that allows a TTL which the service refuses failed for another reason: %v\n%s", err, out)
	}
}

// run runs schemathesis and returns its output. It returns an error if schemathesis found a difference.
func run(t *testing.T, tool string, s *devserver.Server, description []byte, flags ...string) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
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
	// No other variables, because they could name a proxy.
	cmd.Env = []string{
		"USERINFO_TOKEN=" + strings.TrimSpace(strings.TrimPrefix(string(token), "Authorization: Bearer ")),
		"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "PYTHONUTF8=1",
	}
	output, err := cmd.CombinedOutput()
	return string(output), err
}
