//go:build integration

package chart

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// reference names a key of a Secret or ConfigMap.
type reference struct {
	Name string `yaml:"name"`
	Key  string `yaml:"key"`
}

// certificateSource is where a certificate comes from.
type certificateSource struct {
	Secret    *reference `yaml:"secret"`
	ConfigMap *reference `yaml:"configMap"`
}

// serviceMonitor has the fields of monitoring.coreos.com/v1 ServiceMonitor that the chart uses.
type serviceMonitor struct {
	JobLabel string `yaml:"jobLabel"`
	Selector struct {
		MatchLabels map[string]any `yaml:"matchLabels"`
	} `yaml:"selector"`
	Endpoints []struct {
		Port        string `yaml:"port"`
		Scheme      string `yaml:"scheme"`
		Path        string `yaml:"path"`
		Interval    string `yaml:"interval"`
		Relabelings []struct {
			TargetLabel string `yaml:"targetLabel"`
			Replacement string `yaml:"replacement"`
		} `yaml:"relabelings"`
		TLSConfig struct {
			ServerName string             `yaml:"serverName"`
			CA         certificateSource  `yaml:"ca"`
			Cert       *certificateSource `yaml:"cert"`
			KeySecret  *reference         `yaml:"keySecret"`
		} `yaml:"tlsConfig"`
		Authorization *struct {
			Type        string    `yaml:"type"`
			Credentials reference `yaml:"credentials"`
		} `yaml:"authorization"`
	} `yaml:"endpoints"`
}

// spec decodes the specification of an object. A field that into does not have is an error.
func spec(t *testing.T, object map[string]any, into any) {
	t.Helper()
	text, err := yaml.Marshal(object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestServiceMonitor_VerifiesServiceAndIdentifiesPrometheus(t *testing.T) {
	for installation, serverName := range map[string]string{"production-dc1": "userinfo.sessions.svc", "everything": "userinfo.example"} {
		all := render(t, valuesOf(installation)...)
		name := text(all.deployment(t), "metadata name")
		service := all.named(t, "Service", name)
		var m serviceMonitor
		spec(t, all.named(t, "ServiceMonitor", name), &m)
		if !matches(m.Selector.MatchLabels, at(service, "metadata labels")) || len(m.Endpoints) != 1 {
			t.Fatalf("%s: it does not find the Service: %+v", installation, m)
		}
		e := m.Endpoints[0]
		if e.Port != text(service, "spec ports 0 name") || e.Scheme != "https" || e.Path != "/metrics" || m.JobLabel != "app.kubernetes.io/name" {
			t.Errorf("%s: %+v", installation, e)
		}
		// The rules of deploy/prometheus group by job and datacentre.
		if len(e.Relabelings) != 1 || e.Relabelings[0].TargetLabel != "datacentre" || e.Relabelings[0].Replacement != "dc1" ||
			at(service, "metadata labels "+m.JobLabel) != "userinfo" {
			t.Errorf("%s: the labels of series are wrong: %+v", installation, m)
		}
		if e.TLSConfig.ServerName != serverName || (e.TLSConfig.CA.Secret == nil) == (e.TLSConfig.CA.ConfigMap == nil) {
			t.Errorf("%s: the certificate of the service is not verified: %+v", installation, e.TLSConfig)
		}
		if c := e.TLSConfig.Cert; c == nil || c.Secret.Key != "tls.crt" || e.TLSConfig.KeySecret == nil || e.TLSConfig.KeySecret.Key != "tls.key" {
			t.Errorf("%s: there is no client certificate: %+v", installation, e.TLSConfig)
		}
		if a := e.Authorization; (a != nil) != (installation == "everything") || a != nil && (a.Type != "Bearer" || a.Credentials != reference{"userinfo-prometheus", "token"}) {
			t.Errorf("%s: the token is %+v", installation, a)
		}
	}
}

// rules are the groups of a file of rules, and the specification of a PrometheusRule.
type rules struct {
	Groups []struct {
		Name  string           `yaml:"name"`
		Rules []map[string]any `yaml:"rules"`
	} `yaml:"groups"`
}

// TestPrometheusRule_IsRulesOfDeploy compares what the chart installs with the files that promtool tests. The chart reads them through a
// link, so a package of the chart must contain them.
func TestPrometheusRule_IsRulesOfDeploy(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "deploy", "prometheus", "rules", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("deploy/prometheus/rules has no files: %v", err)
	}
	var want rules
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var one rules
		d := yaml.NewDecoder(bytes.NewReader(content))
		d.KnownFields(true)
		if err := d.Decode(&one); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		want.Groups = append(want.Groups, one.Groups...)
	}
	packages := t.TempDir()
	if _, stderr, err := helm(t, "package", chart, "--destination", packages); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	packed, err := filepath.Glob(filepath.Join(packages, "*.tgz"))
	if err != nil || len(packed) != 1 {
		t.Fatalf("packages %v, %v", packed, err)
	}
	for name, chart := range map[string]string{"directory": chart, "package": packed[0]} {
		all, refusal := templateOf(t, chart, valuesOf("everything")...)
		if refusal != "" {
			t.Fatal(refusal)
		}
		var got rules
		spec(t, all.named(t, "PrometheusRule", "sessions"), &got)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the rules of the %s differ from deploy/prometheus/rules", name)
		}
		for _, group := range got.Groups {
			if group.Name == "" || len(group.Rules) == 0 {
				t.Errorf("the group %q has %d rules", group.Name, len(group.Rules))
			}
		}
	}
}

func TestMonitoring_IsOffByDefault(t *testing.T) {
	for _, kind := range render(t, valuesOf("minimal")...).kinds() {
		if strings.HasPrefix(kind, "ServiceMonitor ") || strings.HasPrefix(kind, "PrometheusRule ") {
			t.Errorf("there is %s, which needs the Prometheus operator", kind)
		}
	}
}

func TestMonitoring_HasLabelsForPrometheus(t *testing.T) {
	all := render(t, valuesOf("everything")...)
	for _, o := range all {
		if strings.HasPrefix(text(o, "apiVersion"), "monitoring.coreos.com/") && !reflect.DeepEqual(at(o, "metadata labels release"), "prometheus") {
			t.Errorf("%s has the labels %v", o["kind"], at(o, "metadata labels"))
		}
	}
}
