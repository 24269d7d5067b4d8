//go:build integration

package chart

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"userinfo/internal/config"
	"userinfo/internal/e2e/scratch"
)

// rendered returns the configuration that the chart makes.
func rendered(t *testing.T, all objects, name string) string {
	t.Helper()
	content := text(all.data(name), "userinfo.yaml")
	if content == "" {
		t.Fatalf("the ConfigMap %s has no userinfo.yaml", name)
	}
	return content
}

// parse returns a configuration whose file names are relative to mountPath.
func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	f, err := config.Parse(mountPath+"/userinfo.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f.Config
}

// TestConfig_IsPassedThrough renders the example with every setting. Helm reads numbers, times and durations and writes them again.
func TestConfig_IsPassedThrough(t *testing.T) {
	example, err := os.ReadFile(filepath.Join(root, "deploy", "userinfo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := string(example)
	for _, change := range []struct{ old, new string }{
		{`(?m)^  file: /var/log/userinfo/audit.log$`, ""}, // the chart refuses it
		{`drain: 2s`, "drain: 5s"},
		{`sha256: (0{64})`, `sha256: "$1"`}, // Helm takes it for a number
	} {
		pattern := regexp.MustCompile(change.old)
		if !pattern.MatchString(want) {
			t.Fatalf("deploy/userinfo.yaml has no %s", change.old)
		}
		want = pattern.ReplaceAllString(want, change.new)
	}
	values := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(values, []byte("config:\n"+regexp.MustCompile(`(?m)^`).ReplaceAllString(want, "  ")), 0o600); err != nil {
		t.Fatal(err)
	}
	all := render(t, "--values", values, "--set-json", `files={"a":{"secret":"a","key":"a"}}`,
		"--set-json", `networkPolicy.cassandra=[{"ipBlock":{"cidr":"10.66.0.0/24"}}]`)
	if got := parse(t, rendered(t, all, "userinfo")); !reflect.DeepEqual(got, parse(t, want)) {
		t.Errorf("got  %+v\nwant %+v", got, parse(t, want))
	}
}

// TestConfig_OfMinimalEqualsDeploy keeps the README's configuration and the chart's shortest values the same.
func TestConfig_OfMinimalEqualsDeploy(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(root, "deploy", "minimal.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, rendered(t, render(t, valuesOf("minimal")...), "userinfo"))
	if !reflect.DeepEqual(got, parse(t, string(want)+"\nshutdown: {drain: 15s}\n")) {
		t.Error("ci/minimal.yaml has another configuration than deploy/minimal.yaml")
	}
}

// TestConfig_OfDatacentresDiffersInCassandraOnly checks what two datacentres must have in common.
func TestConfig_OfDatacentresDiffersInCassandraOnly(t *testing.T) {
	one := parse(t, rendered(t, render(t, valuesOf("production-dc1")...), "userinfo"))
	two := parse(t, rendered(t, render(t, valuesOf("production-dc2")...), "userinfo"))
	if one.Cassandra.LocalDatacentre != "dc1" || two.Cassandra.LocalDatacentre != "dc2" || slices.Equal(one.Cassandra.Hosts, two.Cassandra.Hosts) {
		t.Errorf("both ask %v", one.Cassandra)
	}
	two.Cassandra.LocalDatacentre, two.Cassandra.Hosts = one.Cassandra.LocalDatacentre, one.Cassandra.Hosts
	if !reflect.DeepEqual(one, two) {
		t.Errorf("dc1 %+v\ndc2 %+v", one, two)
	}
}

// TestConfig_RestartsPodsForWhatIsNotReloaded changes settings, and compares the annotation that restarts pods with what the
// program says of the same change.
func TestConfig_RestartsPodsForWhatIsNotReloaded(t *testing.T) {
	program := build(t)
	base := func() map[string]any {
		values := readYAML(t, filepath.Join(chart, "ci", "minimal.yaml"))
		values["config"].(map[string]any)["passwords"] = map[string]any{
			"seal": map[string]any{"index_key": "keys/passwords-index", "keys": []string{"keys/passwords-seal-1"}},
		}
		return values
	}
	before := render(t, writeValues(t, base())...)
	collection := func(c map[string]any) map[string]any { return at(c, "collections 0").(map[string]any) }
	for name, change := range map[string]func(map[string]any){
		"clients": func(c map[string]any) { at(c, "clients 0").(map[string]any)["grants"] = []string{"sessions:get"} },
		"audiences": func(c map[string]any) {
			c["audiences"].(map[string]any)["openapi"] = []any{map[string]any{"token": true}}
		},
		"authorities": func(c map[string]any) { c["authorities"] = []string{"userinfo.example", "other.example"} },
		"proxies": func(c map[string]any) {
			c["proxies"] = map[string]any{"proxy_protocol": []any{map[string]any{"network": "10.64.0.10/32"}}}
		},
		"seal.keys": func(c map[string]any) { c["seal"].(map[string]any)["keys"] = []string{"keys/seal-1", "keys/seal-2"} },
		"passwords.seal.keys": func(c map[string]any) {
			at(c, "passwords seal").(map[string]any)["keys"] = []string{"keys/passwords-seal-1", "keys/passwords-seal-2"}
		},
		"passwords": func(c map[string]any) { at(c, "passwords").(map[string]any)["workers"] = 3 },
		"not_before": func(c map[string]any) {
			collection(c)["not_before"] = []any{map[string]any{"time": "2026-11-01T12:00:00Z"}}
		},
		"seal.index_key": func(c map[string]any) { c["seal"].(map[string]any)["index_key"] = "keys/index-2" },
		"tls":            func(c map[string]any) { c["tls"].(map[string]any)["certificate"] = "tls/other.crt" },
		"cassandra":      func(c map[string]any) { c["cassandra"].(map[string]any)["hosts"] = []string{"other.example"} },
		"fence":          func(c map[string]any) { collection(c)["fence"] = "30s" },
		"audit":          func(c map[string]any) { c["audit"] = map[string]any{"required": false} },
		"limits":         func(c map[string]any) { c["limits"] = map[string]any{"max_in_flight": 100} },
		"shutdown":       func(c map[string]any) { c["shutdown"] = map[string]any{"drain": "20s"} },
		"signatures":     func(c map[string]any) { c["signatures"] = map[string]any{"window": "30s"} },
		"tracing":        func(c map[string]any) { c["tracing"] = map[string]any{"endpoint": "https://collector.example:4318"} },
		"log_level":      func(c map[string]any) { c["log_level"] = "warn" },
	} {
		t.Run(name, func(t *testing.T) {
			values := base()
			change(values["config"].(map[string]any))
			after := render(t, writeValues(t, values)...)
			old, changed := rendered(t, before, "userinfo"), rendered(t, after, "userinfo")
			if old == changed {
				t.Fatal("the change does not reach the configuration")
			}
			const annotation = "spec template metadata annotations checksum/config"
			restarts := text(before.deployment(t), annotation) != text(after.deployment(t), annotation)
			if needs := needsRestart(t, program, old, changed); restarts != needs {
				t.Errorf("the chart restarts pods: %v; the program needs it: %v", restarts, needs)
			}
		})
	}
}

// needsRestart reports whether the program refuses to reload the change from one configuration to another.
func needsRestart(t *testing.T, program, from, to string) bool {
	t.Helper()
	s, err := scratch.New(t.TempDir(), program)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteConfig(from); err != nil {
		t.Fatal(err)
	}
	f, err := config.Load(filepath.Join(s.Path, "userinfo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := f.Open(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	r := config.NewReloader(o, config.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler), Registry: registry})
	if err := s.WriteConfig(to); err != nil {
		t.Fatal(err)
	}
	r.Reload(true)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			if family.GetName() == "userinfo_reload_failed" && m.Label[0].GetValue() == "clients" {
				return m.Gauge.GetValue() == 1
			}
		}
	}
	t.Fatal("there is no userinfo_reload_failed for clients")
	return false
}

// TestConfig_OfSchemaApplyDiffersInRoleOnly compares admin.yaml with userinfo.yaml.
func TestConfig_OfSchemaApplyDiffersInRoleOnly(t *testing.T) {
	data := render(t, valuesOf("everything")...).data("sessions-next")
	if got := slices.Sorted(maps.Keys(data)); !slices.Equal(got, []string{"admin.yaml", "userinfo.yaml"}) {
		t.Fatal(got)
	}
	var admin, service map[string]any
	for file, content := range map[string]*map[string]any{"admin.yaml": &admin, "userinfo.yaml": &service} {
		if err := yaml.Unmarshal([]byte(text(data, file)), content); err != nil {
			t.Fatal(err)
		}
	}
	role := admin["cassandra"].(map[string]any)
	if role["username"] != "userinfo_owner" || role["password_file"] != "admin.password" || role["username_file"] != nil {
		t.Errorf("schema apply logs in as %v", role)
	}
	delete(role, "username")
	role["username_file"], role["password_file"] = at(service, "cassandra username_file"), at(service, "cassandra password_file")
	if fmt.Sprint(admin) != fmt.Sprint(service) {
		t.Errorf("admin.yaml\n%s\nuserinfo.yaml\n%s", text(data, "admin.yaml"), text(data, "userinfo.yaml"))
	}
	if text(render(t, valuesOf("minimal")...).data("userinfo-next"), "admin.yaml") != "" {
		t.Error("there is an admin.yaml without schemaApply.enabled")
	}
	for name, template := range render(t, valuesOf("everything")...).pods(t) {
		if strings.Contains(fmt.Sprint(template), "admin.password") != (name == "sessions-schema-apply") {
			t.Errorf("%s: only schema apply has its password", name)
		}
	}
}
