//go:build integration

// Package chart tests the Helm chart in deploy/helm/userinfo. Helm renders it, the schemas of the Kubernetes API accept what it renders,
// and the program runs with the files, the user and the arguments that a pod would have. No cluster is needed.
package chart

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"userinfo/internal/e2e/kubernetes"
)

const (
	root  = "../../.."
	chart = root + "/deploy/helm/userinfo"

	// helmModule is the command of Helm that renders the chart.
	helmModule = "helm.sh/helm/v3/cmd/helm@v3.22.0"
	// buildTimeout is several times the usual time of building Helm for the first time.
	buildTimeout = 15 * time.Minute
)

// installations are the values files of ci that are used together, by the name of the installation.
var installations = map[string][]string{
	"minimal":        {"minimal.yaml"},
	"production-dc1": {"production.yaml", "production-dc1.yaml"},
	"production-dc2": {"production.yaml", "production-dc2.yaml"},
	"everything":     {"everything.yaml"},
}

// valuesOf returns the flags of Helm for an installation.
func valuesOf(installation string) (flags []string) {
	for _, file := range installations[installation] {
		flags = append(flags, "--values", filepath.Join(chart, "ci", file))
	}
	return flags
}

// helmProgram returns the path of Helm. It builds Helm once, and keeps it in .build.
func helmProgram(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(root, ".build", "helm-"+helmModule[strings.LastIndex(helmModule, "@")+1:]))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "helm")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	ctx, cancel := context.WithTimeout(t.Context(), buildTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "install", helmModule)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building Helm: %v (needs access to Go modules)\n%s", err, out)
	}
	return program
}

// helm runs Helm and returns what it printed.
func helm(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), helmProgram(t), args...)
	// No other variables, because they could name a cluster or a proxy.
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	err = cmd.Run()
	return out.String(), errors.String(), err
}

// template returns what Helm would install as the release userinfo in the namespace sessions, or Helm's message if it refuses.
func template(t *testing.T, flags ...string) (objects objects, refusal string) {
	t.Helper()
	return templateOf(t, chart, flags...)
}

func templateOf(t *testing.T, chart string, flags ...string) (objects objects, refusal string) {
	t.Helper()
	stdout, stderr, err := helm(t, slices.Concat([]string{"template", "userinfo", chart, "--namespace", "sessions", "--kube-version", kubernetes.Versions[1]}, flags)...)
	if err != nil {
		return nil, stderr
	}
	for d := yaml.NewDecoder(strings.NewReader(stdout)); ; {
		var o map[string]any
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return objects, ""
		} else if err != nil {
			t.Fatalf("%v\n%s", err, stdout)
		}
		if o != nil {
			objects = append(objects, o)
		}
	}
}

// render returns what Helm would install. The values must be accepted.
func render(t *testing.T, flags ...string) objects {
	t.Helper()
	all, refusal := template(t, flags...)
	if refusal != "" {
		t.Fatalf("Helm refuses %s: %s", flags, refusal)
	}
	return all
}

// writeValues writes values to a file, and returns Helm's flags for it.
func writeValues(t *testing.T, values any) (flags []string) {
	t.Helper()
	text, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--values", file}
}

// readYAML returns the content of a YAML file.
func readYAML(t *testing.T, file string) (content map[string]any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &content); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return content
}
