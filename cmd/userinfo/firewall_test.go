package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFirewallPrint_AcceptsInventoryOfDocument runs the inventory in docs/operations.md, with the README's configuration.
func TestFirewallPrint_AcceptsInventoryOfDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^## Firewall\n.*?^```yaml\n(.*?)^```$").FindSubmatch(text)
	if block == nil {
		t.Fatal("section Firewall has no inventory")
	}
	inventory := filepath.Join(t.TempDir(), "inventory.yaml")
	if err := os.WriteFile(inventory, block[1], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, hosts := range []string{"service", "cassandra"} {
		var stdout, stderr strings.Builder
		args := []string{"firewall", "print", "--config", "../../deploy/minimal.yaml", "--inventory", inventory, "--for", hosts}
		if code := run(t.Context(), args, &stdout, &stderr); code != exitOK || !strings.Contains(stdout.String(), "table inet userinfo") {
			t.Errorf("%v: exit code %d\n%s", args, code, &stderr)
		}
	}
}
