//go:build integration

package chart

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestValues_WrongOnesAreRefused(t *testing.T) {
	minimal := valuesOf("minimal")
	everything := valuesOf("everything")
	for _, test := range []struct {
		name  string
		flags []string
		want  string // a part of Helm's message
	}{
		{"no values", nil, "'/config': missing properties"},
		{"an unknown value", slices.Concat(minimal, []string{"--set", "replicaCount=3"}), "additional properties 'replicaCount' not allowed"},
		{"an unknown value below another", slices.Concat(minimal, []string{"--set", "networkPolicy.client=x"}), "additional properties 'client' not allowed"},
		{"neither collections nor passwords", withoutCollections(t, nil), "'/config': missing property 'collections'"},
		{"passwords without keys", slices.Concat(minimal, []string{"--set-json", "config.passwords={}"}), "'/config/passwords'"},
		{"a single pod", slices.Concat(minimal, []string{"--set", "replicas=1"}), "'/replicas'"},
		{"a collection without a list", slices.Concat(minimal, []string{"--set", "config.collections=sessions"}), "'/config/collections'"},
		{"no client", slices.Concat(minimal, []string{"--set-json", "config.clients=[]"}), "'/config/clients'"},
		{"a port that needs root", slices.Concat(minimal, []string{"--set", "config.listen=0.0.0.0:443"}), "'/config/listen'"},
		{"a token's hash that YAML takes for a number", slices.Concat(minimal, []string{"--set-json", `config.clients=[{"name":"a","tokens":[{"sha256":0}]}]`}),
			"'/config/clients/0/tokens/0/sha256'"},
		{"a time of shutdown that the chart cannot add up", slices.Concat(minimal, []string{"--set", "config.shutdown.grace=1m"}), "'/config/shutdown/grace'"},
		{"a short drain", slices.Concat(minimal, []string{"--set", "config.shutdown.drain=4s"}), "config.shutdown.drain must be at least 5s"},
		{"probes that are refused", slices.Concat(minimal, []string{"--set-json", "config.audiences.health=[]"}), "config.audiences.health is closed"},
		{"an audit file", slices.Concat(minimal, []string{"--set", "config.audit.file=/var/log/audit.log"}), "config.audit.file cannot be used"},
		{"no files", slices.Concat(minimal, []string{"--set-json", "files=null"}), "files"},
		{"a file from nowhere", slices.Concat(minimal, []string{"--set-json", `files={"a":{"key":"a"}}`}), "'/files/a'"},
		{"a file from two objects", slices.Concat(minimal, []string{"--set-json", `files={"a":{"secret":"a","configMap":"a","key":"a"}}`}), "'/files/a'"},
		{"a file outside of the directory", slices.Concat(minimal, []string{"--set-json", `files={"../a":{"secret":"a","key":"a"}}`}), "invalid propertyName '../a'"},
		{"a file with an absolute name", slices.Concat(minimal, []string{"--set-json", `files={"/etc/passwd":{"secret":"a","key":"a"}}`}), "invalid propertyName '/etc/passwd'"},
		{"the configuration as a file", slices.Concat(minimal, []string{"--set-json", `files={"userinfo.yaml":{"secret":"a","key":"a"}}`}), "the chart itself makes userinfo.yaml"},
		{"no way to Cassandra", slices.Concat(minimal, []string{"--set-json", "networkPolicy.cassandra=[]"}), "networkPolicy.cassandra is empty"},
		{"no decision about the network policy", slices.Concat(minimal, []string{"--set-json", "networkPolicy.enabled=null"}), "missing property 'enabled'"},
		{"no network policy section", slices.Concat(minimal, []string{"--set-json", "networkPolicy=null"}), "missing property 'networkPolicy'"},
		{"a peer that is everybody", slices.Concat(minimal, []string{"--set-json", "networkPolicy.clients=[{}]"}), "'/networkPolicy/clients/0'"},
		{"more egress to everybody", slices.Concat(minimal, []string{"--set-json", `networkPolicy.egress=[{"ports":[{"port":443}]}]`}), "missing property 'to'"},
		{"more egress to an empty list", slices.Concat(minimal, []string{"--set-json", `networkPolicy.egress=[{"to":[],"ports":[{"port":443}]}]`}), "'/networkPolicy/egress/0/to'"},
		{"no limit of memory", slices.Concat(minimal, []string{"--set-json", "resources.limits={\"memory\":null}"}), "'/resources/limits'"},
		{"a digest without its kind", slices.Concat(minimal, []string{"--set", "image.digest=0123"}), "'/image/digest'"},
		{"metrics for nobody", slices.Concat(everything, []string{"--set-json", "config.audiences.metrics=[]"}), "config.audiences.metrics is closed"},
		{"metrics from an unknown CA", slices.Concat(everything, []string{"--set-json", "serviceMonitor.ca=null"}), "serviceMonitor.ca is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, refusal := template(t, test.flags...); !strings.Contains(refusal, test.want) {
				t.Errorf("Helm says %q, want a message that contains %q", refusal, test.want)
			}
		})
	}
}

// withoutCollections are the minimal values without collections, and with these passwords unless they are nil.
func withoutCollections(t *testing.T, passwords map[string]any) (flags []string) {
	t.Helper()
	values := readYAML(t, filepath.Join(chart, "ci", "minimal.yaml"))
	config := values["config"].(map[string]any)
	delete(config, "collections")
	if passwords != nil {
		config["passwords"] = passwords
	}
	return writeValues(t, values)
}

func TestValues_PasswordsAloneAreEnough(t *testing.T) {
	keys := map[string]any{"index_key": "keys/passwords-index", "keys": []string{"keys/passwords-seal-1"}}
	if _, refusal := template(t, withoutCollections(t, map[string]any{"seal": keys})...); refusal != "" {
		t.Errorf("Helm says %q", refusal)
	}
}

func TestValues_CIFileHasEverySetting(t *testing.T) {
	everything := readYAML(t, filepath.Join(chart, "ci", "everything.yaml"))
	for _, path := range settings(readYAML(t, filepath.Join(chart, "values.yaml")), "", 99) {
		if at(everything, strings.ReplaceAll(path, ".", " ")) == nil {
			t.Errorf("ci/everything.yaml has no %s", path)
		}
	}
}

func TestValues_EachIsDocumented(t *testing.T) {
	document, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	values := readYAML(t, filepath.Join(chart, "values.yaml"))
	for _, whole := range []string{"config", "resources", "files"} { // one row for each
		values[whole] = nil
	}
	found := settings(values, "", 2)
	if len(found) < 25 {
		t.Errorf("values.yaml has %d settings; this test looks at the wrong file", len(found))
	}
	for _, path := range found {
		if !strings.Contains(string(document), "`"+path+"`") {
			t.Errorf("docs/operations.md does not name `%s`", path)
		}
	}
}

// TestValues_SecretsOfMinimalAreDocumented checks that the commands of the document make the Secrets that ci/minimal.yaml names.
func TestValues_SecretsOfMinimalAreDocumented(t *testing.T) {
	document, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, _ := readYAML(t, filepath.Join(chart, "ci", "minimal.yaml"))["files"].(map[string]any)
	if len(files) == 0 {
		t.Fatal("ci/minimal.yaml names no files")
	}
	for path, from := range files {
		made := false
		for line := range strings.Lines(string(document)) {
			_, arguments, isCommand := strings.Cut(line, "kubectl -n userinfo create secret ")
			words := strings.Fields(arguments)
			key := text(from, "key")
			made = made || isCommand && slices.Contains(words, text(from, "secret")) &&
				(words[0] == "tls" && strings.HasPrefix(key, "tls.") || slices.ContainsFunc(words, func(w string) bool {
					return w == "--from-file="+key || strings.HasPrefix(w, "--from-file="+key+"=")
				}))
		}
		if !made {
			t.Errorf("no command of docs/operations.md makes %v for %s", from, path)
		}
	}
}

// settings returns the paths of all values that are not maps, or are empty maps, down to a depth.
func settings(values map[string]any, parent string, depth int) (paths []string) {
	for name, value := range values {
		path := strings.TrimPrefix(parent+"."+name, ".")
		if below, ok := value.(map[string]any); ok && len(below) > 0 && depth > 1 {
			paths = append(paths, settings(below, path, depth-1)...)
		} else {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// TestChart_CanBePartOfAnotherChart renders the chart as a dependency, for which Helm adds the value global.
func TestChart_CanBePartOfAnotherChart(t *testing.T) {
	parent := t.TempDir()
	if err := os.MkdirAll(filepath.Join(parent, "charts"), 0o700); err != nil {
		t.Fatal(err)
	}
	child, err := filepath.Abs(chart)
	if err := errors.Join(err, os.Symlink(child, filepath.Join(parent, "charts", "userinfo"))); err != nil {
		t.Fatal(err)
	}
	about := "apiVersion: v2\nname: parent\nversion: 0.1.0\ndependencies: [{name: userinfo, version: '*'}]\n"
	if err := os.WriteFile(filepath.Join(parent, "Chart.yaml"), []byte(about), 0o600); err != nil {
		t.Fatal(err)
	}
	minimal := readYAML(t, filepath.Join(chart, "ci", "minimal.yaml"))
	values := map[string]any{"global": map[string]any{"registry": "example"}, "userinfo": minimal}
	all, refusal := templateOf(t, parent, writeValues(t, values)...)
	if refusal != "" {
		t.Fatal(refusal)
	}
	if got, want := fmt.Sprint(all.kinds()), fmt.Sprint(render(t, valuesOf("minimal")...).kinds()); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
