//go:build integration

package firewall

import (
	"bytes"
	"os/exec"
	"testing"

	"userinfo/internal/e2e/devserver"
	"userinfo/internal/e2e/kubernetes"
)

// TestNetworkPolicy_MatchesSchemaOfKubernetes checks the policy of the examples in deploy against the schema of Kubernetes' API, in
// which no unknown field is allowed.
func TestNetworkPolicy_MatchesSchemaOfKubernetes(t *testing.T) {
	policy, err := exec.Command(devserver.Build(t), "firewall", "print", "--config", "../../../deploy/userinfo.yaml",
		"--inventory", "../../../deploy/inventory.yaml", "--format", "kubernetes").Output()
	if err != nil {
		t.Fatal(err)
	}
	newest := kubernetes.Versions[1]
	if out, err := kubernetes.Validate(t, newest, policy); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, policy)
	}
	// Wrong policies must be refused. Otherwise the check above would prove nothing.
	for _, wrong := range []struct{ old, new string }{{"podSelector:", "podSelectors:"}, {"port: 8443", "port: [8443]"}, {"policyTypes: [", "policyTypes: [{}, "}} {
		text := bytes.Replace(policy, []byte(wrong.old), []byte(wrong.new), 1)
		if bytes.Equal(text, policy) {
			t.Errorf("%q is not in the policy", wrong.old)
		}
		if out, err := kubernetes.Validate(t, newest, text); err == nil {
			t.Errorf("with %q, the policy is accepted: %v\n%s", wrong.new, err, out)
		}
	}
}
