// Package kubernetes compares objects with the schemas of the Kubernetes API, for tests. No cluster is needed.
package kubernetes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"userinfo/internal/e2e/python"
)

// Versions are the oldest version of Kubernetes that the Helm chart allows, and the newest whose schemas are known.
var Versions = [2]string{"1.27", "1.37"}

// Validate compares objects, each in YAML, with the schemas of a version of the Kubernetes API. An unknown field is an error. out says
// what is wrong.
func Validate(t *testing.T, version string, objects ...[]byte) (out string, err error) {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--strict", "--kubernetes-version", version}
	for i, object := range objects {
		file := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(file, object, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	validator := filepath.Join(python.Install(t, "kubernetes-validate", "../kubernetes"), "kubernetes-validate")
	text, err := exec.CommandContext(t.Context(), validator, args...).CombinedOutput()
	if passed := strings.Count(string(text), " passed for resource "); err == nil && passed != len(objects) {
		err = fmt.Errorf("%d of %d objects were compared", passed, len(objects))
	}
	return string(text), err
}
