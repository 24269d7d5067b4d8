//go:build integration

package watching

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"userinfo/internal/devca"
)

const prometheusDir = root + "/deploy/prometheus"

// promtool runs promtool of Debian's package prometheus, and returns its output.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput()
	return string(out), err
}

// glob returns the files that a pattern below prometheusDir matches.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(prometheusDir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return files
}

func TestRules_AreValid(t *testing.T) {
	if out, err := promtool(t, append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, glob(t, "rules/*.yaml")...)...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRules_PassUnitTests(t *testing.T) {
	if out, err := promtool(t, append([]string{"test", "rules"}, glob(t, "tests/*.yaml")...)...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// mutants are changes of a rule that its unit tests must notice: a threshold that is too low or too high, a missing condition, and
// a metric that nobody exposes.
var mutants = []struct{ file, old, new string }{
	{"requests.yaml", "ratio_rate5m > 14.4 * 0.001", "ratio_rate5m > 140 * 0.001"},
	{"requests.yaml", "and datacentre:userinfo_request_errors:ratio_rate30m > 6 * 0.001", ""},
	{"clients.yaml", "> 5 * sum by (job, datacentre, client) (rate(userinfo_client_misses_total[1d]))", "> 0"},
	{"instances.yaml", `route="/readyz",status="503"`, `status="503"`},
	{"instances.yaml", `file!~"crls.*"} < 14`, `file!=""} < 14`},
	{"cassandra.yaml", "userinfo_cassandra_hosts_up[1d]", "userinfo_cassandra_hosts[1d]"},
	{"cassandra.yaml", "floor(userinfo_cassandra_local_replicas / 2) + 1", "userinfo_cassandra_local_replicas"},
	{"disks.yaml", "        for: 1h\n        labels: {severity: warning}\n        annotations:\n          summary: \"{{ $labels.instance }}: {{ $labels.mountpoint }} will", "        labels: {severity: critical}\n        annotations:\n          summary: \"{{ $labels.instance }}: {{ $labels.mountpoint }} will"},
}

func TestRules_UnitTestsNoticeMutants(t *testing.T) {
	for _, m := range mutants {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(prometheusDir)); err != nil {
			t.Fatal(err)
		}
		rules := filepath.Join(dir, "rules", m.file)
		text, err := os.ReadFile(rules)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), m.old) == 0 {
			t.Errorf("%s does not contain %q", m.file, m.old)
			continue
		}
		if err := os.WriteFile(rules, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := promtool(t, "test", "rules", filepath.Join(dir, "tests", m.file)); err == nil {
			t.Errorf("the unit tests pass with %q instead of %q\n%s", m.new, m.old, out)
		}
	}
}

// TestDashboard_ExpressionsAreValid lets promtool parse every expression of the dashboard, as recording rules.
func TestDashboard_ExpressionsAreValid(t *testing.T) {
	if out, err := checkExpressions(t, dashboard(t).Expressions()); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wrong := []Expression{{"a mistake", "sum by (job (up)"}}
	if out, err := checkExpressions(t, wrong); err == nil {
		t.Errorf("a wrong expression is accepted: %s", out)
	}
}

// checkExpressions writes a file of rules with these expressions, and checks it.
func checkExpressions(t *testing.T, all []Expression) (string, error) {
	t.Helper()
	var rules []map[string]any
	for i, e := range all {
		rules = append(rules, map[string]any{"record": "panel:query:" + strings.Repeat("x", i+1), "expr": e.Text})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return promtool(t, "check", "rules", "--lint=none", file)
}

// TestConfiguration_IsValid checks the example configuration in a copy, with certificates in the places that it names.
func TestConfiguration_IsValid(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(prometheusDir)); err != nil {
		t.Fatal(err)
	}
	ca, err := devca.New("test")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.Write(dir, "client", devca.Leaf{CommonName: "prometheus", Client: true}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	const place = "/etc/prometheus/userinfo/"
	if strings.Count(string(text), place) < 3 {
		t.Fatalf("the example does not name files in %s", place)
	}
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(string(text), place, dir+"/")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := promtool(t, "check", "config", config)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(out, "5 rule files found") {
		t.Errorf("the example does not load the rules:\n%s", out)
	}
}
