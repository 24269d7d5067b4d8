//go:build integration

package chart

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"userinfo/internal/e2e/kubernetes"
)

// validate compares objects with the schemas of a version of the Kubernetes API.
func validate(t *testing.T, version string, all objects) (out string, err error) {
	t.Helper()
	var texts [][]byte
	for _, o := range all {
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	return kubernetes.Validate(t, version, texts...)
}

// ofKubernetes returns the objects that Kubernetes itself defines. TestServiceMonitor_ and TestPrometheusRule_ check the others.
func (all objects) ofKubernetes() objects {
	return slices.DeleteFunc(slices.Clone(all), func(o map[string]any) bool { return strings.HasPrefix(text(o, "apiVersion"), "monitoring.coreos.com/") })
}

func TestChart_MatchesSchemasOfKubernetes(t *testing.T) {
	for _, version := range kubernetes.Versions {
		for installation := range installations {
			t.Run(version+" "+installation, func(t *testing.T) {
				all := render(t, valuesOf(installation)...).ofKubernetes()
				if len(all) < 6 {
					t.Fatalf("there are only %v", all.kinds())
				}
				if out, err := validate(t, version, all); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// TestChart_WrongObjectsAreFound shows that the test above can fail.
func TestChart_WrongObjectsAreFound(t *testing.T) {
	for name, change := range map[string]func(deployment map[string]any){
		"an unknown field": func(d map[string]any) {
			at(d, "spec template spec").(map[string]any)["securityContxt"] = map[string]any{}
		},
		"a wrong type":    func(d map[string]any) { at(d, "spec").(map[string]any)["replicas"] = "three" },
		"a missing field": func(d map[string]any) { delete(at(d, "spec").(map[string]any), "selector") },
	} {
		all := render(t, valuesOf("minimal")...)
		change(all.deployment(t))
		if out, err := validate(t, kubernetes.Versions[1], all); err == nil {
			t.Errorf("%s is accepted: %s", name, out)
		}
	}
}

func TestChart_IsAcceptedByLint(t *testing.T) {
	for installation := range installations {
		if stdout, stderr, err := helm(t, slices.Concat([]string{"lint", "--strict", chart, "--kube-version", kubernetes.Versions[0]}, valuesOf(installation))...); err != nil {
			t.Errorf("%s: %v\n%s%s", installation, err, stdout, stderr)
		}
	}
}

func TestChart_NamesOldestKubernetes(t *testing.T) {
	if got, want := text(readYAML(t, chart+"/Chart.yaml"), "kubeVersion"), ">="+kubernetes.Versions[0]+".0-0"; got != want {
		t.Errorf("Chart.yaml allows %s, and this test checks %s", got, want)
	}
}

// TestNotes_WarnOfMissingProtection renders what Helm prints after an installation, as an object, because Helm prints it only after it has
// talked to a cluster.
func TestNotes_WarnOfMissingProtection(t *testing.T) {
	dir := t.TempDir()
	notes := filepath.Join(dir, "templates", "NOTES.txt")
	for _, name := range []string{"Chart.yaml", "values.yaml"} {
		copyFile(t, filepath.Join(chart, name), filepath.Join(dir, name))
	}
	if err := os.CopyFS(filepath.Dir(notes), os.DirFS(filepath.Join(chart, "templates"))); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(notes)
	err = errors.Join(err, os.Remove(notes),
		os.WriteFile(filepath.Join(dir, "templates", "_notes.tpl"), []byte(`{{ define "notes" }}`+string(content)+`{{ end }}`), 0o600),
		os.WriteFile(filepath.Join(dir, "templates", "notes.yaml"), []byte(`{apiVersion: v1, kind: Notes, metadata: {name: notes}, text: {{ include "notes" . | quote }}}`), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		flags []string
		want  string // a part of the text
	}{
		{nil, "https://userinfo.sessions.svc:8443"},
		{[]string{"--set", "networkPolicy.enabled=false"}, "WARNING: networkPolicy.enabled is false"},
		{[]string{"--set-json", "networkPolicy.clients=[]"}, "WARNING: networkPolicy.clients is empty"},
	} {
		all, refusal := templateOf(t, dir, slices.Concat(valuesOf("minimal"), test.flags)...)
		if refusal != "" {
			t.Fatal(refusal)
		}
		got := text(all.named(t, "Notes", "notes"), "text")
		if !strings.Contains(got, test.want) || strings.Contains(got, "WARNING") != strings.Contains(test.want, "WARNING") {
			t.Errorf("%v: %s", test.flags, got)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err := errors.Join(err, os.WriteFile(to, content, 0o600)); err != nil {
		t.Fatal(err)
	}
}
