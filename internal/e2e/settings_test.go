//go:build integration

package e2e

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSettings_OfOneNodeAreNamed changes a setting of one node, and then of another.
func TestSettings_OfOneNodeAreNamed(t *testing.T) {
	const wrong = "setting column_value_size_fail_threshold on "
	env := shared
	config := filepath.Join(env.dir, env.serve(t, "dc1").Name+".yaml")
	if out := env.checkSchema(t, config); strings.Contains(out, wrong) {
		t.Errorf("before the change, schema check prints\n%s", out)
	}
	for _, node := range env.cluster.Nodes("dc1")[1:] {
		limit := func(warn, fail string) {
			t.Helper()
			if _, err := node.Nodetool(context.Background(), "sjk", "mx", "-mc", "-b", "org.apache.cassandra.db:type=Guardrails",
				"-op", "setColumnValueSizeThreshold", "-a", warn, fail); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { limit("", "") })
		limit("4KiB", "8KiB")
		if out := env.checkSchema(t, config); !strings.Contains(out, wrong+node.Address+": want ") {
			t.Errorf("schema check prints\n%s\nwant the setting of node %s", out, node.Address)
		}
		if log := env.serve(t, "dc1").Log(); !strings.Contains(log, `"object":"`+wrong+node.Address+`"`) {
			t.Errorf("a new instance logs\n%s\nwant the setting of node %s", log, node.Address)
		}
		limit("", "")
	}
}

// checkSchema returns the output of `userinfo schema check`. The command fails if there is a warning.
func (env *environment) checkSchema(t *testing.T, config string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), env.program, "schema", "check", "--config", config).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "warning: ") {
		t.Fatalf("schema check: %v\n%s", err, out)
	}
	return string(out)
}
