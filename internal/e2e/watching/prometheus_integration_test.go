//go:build integration

package watching

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"userinfo/internal/e2e/devserver"
)

// patience is the time that Prometheus has to start, and to scrape and evaluate.
const patience = time.Minute

// prometheusServer is a running Prometheus.
type prometheusServer struct {
	t   *testing.T
	url string
}

// startPrometheus runs Prometheus with the example configuration, changed so that it scrapes the service with its token, every second.
// The process ends with the test.
func startPrometheus(t *testing.T, service *devserver.Server) *prometheusServer {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(prometheusDir)); err != nil {
		t.Fatal(err)
	}
	header, err := os.ReadFile(service.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(strings.TrimPrefix(strings.TrimSpace(string(header)), "Authorization: Bearer ")), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(config, scrapeConfig(t, config, service, token), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of Prometheus:\n%s", log.String())
		}
	})
	return &prometheusServer{t, "http://" + address}
}

// scrapeConfig returns the example configuration with one target: the service.
func scrapeConfig(t *testing.T, file string, service *devserver.Server, token string) []byte {
	t.Helper()
	var config map[string]any
	if err := readYAML(file, &config); err != nil {
		t.Fatal(err)
	}
	config["global"] = map[string]any{"scrape_interval": "1s", "evaluation_interval": "1s"}
	delete(config, "alerting")
	job := config["scrape_configs"].([]any)[0].(map[string]any)
	if job["job_name"] != "userinfo" || job["scheme"] != "https" {
		t.Fatalf("the first job of the example is not the service: %v", job)
	}
	job["tls_config"] = map[string]any{"ca_file": service.CAFile}
	job["authorization"] = map[string]any{"credentials_file": token}
	job["static_configs"] = []any{map[string]any{
		"targets": []string{strings.TrimPrefix(service.Origin(), "https://")}, "labels": map[string]string{"datacentre": "dc1"}}}
	config["scrape_configs"] = []any{job}
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// get asks the API of Prometheus. It returns an error also if Prometheus answers with one.
func (p *prometheusServer) get(path string, data any) error {
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(p.url + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%d %.200s", res.StatusCode, body)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s", answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// query returns the number of series of an expression's result now.
func (p *prometheusServer) query(expression string) (int, error) {
	var data struct{ Result []any }
	err := p.get("/api/v1/query?query="+url.QueryEscape(expression), &data)
	return len(data.Result), err
}

// await waits until an expression has a result.
func (p *prometheusServer) await(expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		n, err := p.query(expression)
		if n > 0 && err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("Prometheus has no result for %s: %v", expression, err)
		}
	}
}

// TestPrometheus_WatchesService runs Prometheus with the example configuration and a service. It evaluates every rule and every
// expression of the dashboard. Those that need nothing except a running service must have a result.
func TestPrometheus_WatchesService(t *testing.T) {
	service := devserver.Start(t)
	p := startPrometheus(t, service)
	p.await(`up{job="userinfo",datacentre="dc1"} == 1`)
	// The counter exists only after the first request for metrics, and its rate after the second.
	p.await(`rate(userinfo_http_request_seconds_count{route="/metrics"}[5m]) > 0`)

	var present []string
	for _, e := range dashboard(t).Expressions() {
		n, err := p.query(e.Text)
		if err != nil {
			t.Errorf("%s: %v", e.Where, err)
		}
		if n > 0 {
			present = append(present, e.Where)
		}
	}
	for _, where := range []string{
		"panel Instances, query A", "panel Oldest pending logout, query A", "panel Cassandra nodes, query A", "panel First certificate expires, query A",
		"panel In flight and shed, query A", "panel In flight and shed, query B", "panel Circuit breakers open, query A", "panel Attempts by result, query A", "panel Connections, query A",
		"panel TLS handshakes, query A", "panel Values opened, query A", "panel Days left, query A", "panel CPU, query A", "panel Memory, query A", "panel Memory, query B",
		"panel Goroutines, query A", "panel Longest pause of garbage collection, query A", "panel Open files, query A",
	} {
		if !slices.Contains(present, where) {
			t.Errorf("%s has no result, although the service runs", where)
		}
	}
	p.wantHealthyRules()
}

// wantHealthyRules waits until all rules were evaluated, and checks that none failed and that no alert is pending or firing that a
// new service without Cassandra would not explain.
func (p *prometheusServer) wantHealthyRules() {
	p.t.Helper()
	type rule struct{ Name, Type, Health, LastError, State string }
	var all []rule
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		var data struct {
			Groups []struct{ Rules []rule }
		}
		if err := p.get("/api/v1/rules", &data); err != nil {
			p.t.Fatal(err)
		}
		all = nil
		for _, g := range data.Groups {
			all = append(all, g.Rules...)
		}
		if len(all) > 0 && !slices.ContainsFunc(all, func(r rule) bool { return r.Health == "unknown" }) {
			break
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("rules were not evaluated: %v", all)
		}
	}
	rules, err := Rules(root)
	if err != nil {
		p.t.Fatal(err)
	}
	if len(all) != len(rules) {
		p.t.Errorf("Prometheus has %d rules, the files have %d", len(all), len(rules))
	}
	for _, r := range all {
		if r.Health != "ok" {
			p.t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
		}
		// The development server's certificate is short-lived, and it has no Cassandra.
		if r.Type == "alerting" && r.State != "inactive" && !strings.HasPrefix(r.Name, "UserInfoCertificate") {
			p.t.Errorf("%s is %s", r.Name, r.State)
		}
	}
}
