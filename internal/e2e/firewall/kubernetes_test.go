//go:build integration

package firewall

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"userinfo/internal/e2e/devserver"
	"userinfo/internal/e2e/python"
)

// TestNetworkPolicy_MatchesSchemaOfKubernetes checks the policy of the examples in deploy against the schema of Kubernetes' API, in
// which no unknown field is allowed.
func TestNetworkPolicy_MatchesSchemaOfKubernetes(t *testing.T) {
	validator := filepath.Join(python.Install(t, "firewall-kubernetes-validate"), "kubernetes-validate")
	policy, err := exec.Command(devserver.Build(t), "firewall", "print", "--config", "../../../deploy/userinfo.yaml",
		"--inventory", "../../../deploy/inventory.yaml", "--format", "kubernetes").Output()
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text []byte) (string, error) {
		file := filepath.Join(t.TempDir(), "policy.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(validator, "--strict", "--kubernetes-version", "1.37", file).CombinedOutput()
		return string(out), err
	}
	if out, err := validate(policy); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, policy)
	}
	// Wrong policies must be refused. Otherwise the check above would prove nothing.
	for _, wrong := range []struct{ old, new string }{{"podSelector:", "podSelectors:"}, {"port: 8443", "port: [8443]"}, {"policyTypes: [", "policyTypes: [{}, "}} {
		text := bytes.Replace(policy, []byte(wrong.old), []byte(wrong.new), 1)
		if bytes.Equal(text, policy) {
			t.Errorf("%q is not in the policy", wrong.old)
		}
		if out, err := validate(text); err == nil {
			t.Errorf("with %q, the policy is accepted: %v\n%s", wrong.new, err, out)
		}
	}
}
