//go:build integration

package chart

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestProgram_AcceptsConfigAndFiles runs the Job that checks the configuration, with the files, the user and the arguments of its pod.
func TestProgram_AcceptsConfigAndFiles(t *testing.T) {
	program := build(t)
	for _, installation := range slices.Sorted(maps.Keys(installations)) {
		t.Run(installation, func(t *testing.T) {
			all := render(t, valuesOf(installation)...)
			for name, template := range all.pods(t) {
				if !strings.HasSuffix(name, "-check-config") {
					continue
				}
				out, err := all.mount(t, template, program).command(t).CombinedOutput()
				if err != nil || !strings.Contains(string(out), "userinfo.yaml is right") {
					t.Errorf("%v\n%s", err, out)
				}
				return
			}
			t.Error("no Job checks the configuration")
		})
	}
}

// TestProgram_RefusesMissingFile leaves out a file that the configuration names. The test above would prove nothing otherwise.
func TestProgram_RefusesMissingFile(t *testing.T) {
	values := readYAML(t, filepath.Join(chart, "ci", "minimal.yaml"))
	delete(values["files"].(map[string]any), "keys/index")
	all := render(t, writeValues(t, values)...)
	out, err := all.mount(t, all.pods(t)["userinfo-check-config"], build(t)).command(t).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "seal.index_key: cannot be opened") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestProgram_RefusesModeThatOthersCanRead shows that the user and the groups of the pod decide: with Kubernetes' default mode, the
// secrets are refused.
func TestProgram_RefusesModeThatOthersCanRead(t *testing.T) {
	all := render(t, valuesOf("minimal")...)
	template := all.pods(t)["userinfo-check-config"]
	at(template, "spec volumes 0 projected").(map[string]any)["defaultMode"] = 0o644
	out, err := all.mount(t, template, build(t)).command(t).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "every user of this machine can use the file") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestProgram_TriesToApplySchema runs the Job that applies the schema. It fails, because Cassandra is not there; a wrong
// configuration would be another exit code.
func TestProgram_TriesToApplySchema(t *testing.T) {
	all := render(t, append(valuesOf("everything"), "--set-json", `config.cassandra.hosts=["127.0.0.1"]`, "--set", "config.cassandra.port=1")...)
	cmd := all.mount(t, all.pods(t)["sessions-schema-apply"], build(t)).command(t)
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1: %v\n%s", cmd.ProcessState.ExitCode(), err, out)
	}
}

// TestProgram_ServesProbesAndStopsInTime runs the service as the Deployment does. Cassandra is not there, so it is alive and not
// ready. After SIGTERM it goes on accepting connections, and ends before Kubernetes would kill it.
func TestProgram_ServesProbesAndStopsInTime(t *testing.T) {
	all := render(t, append(valuesOf("minimal"), "--set-json", `config.cassandra.hosts=["127.0.0.1"]`,
		"--set", "config.cassandra.port=1,config.shutdown.drain=5s")...)
	template := all.pods(t)["userinfo"]
	p := all.mount(t, template, build(t))
	p.replace(t, "userinfo.yaml", "listen: 0.0.0.0:8443", "listen: 127.0.0.1:0")
	cmd := p.command(t)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log := bufio.NewReader(stderr)
	address := awaitRecord(t, log, "listening")["address"].(string)

	container := at(template, "spec containers 0")
	get := func(probe string) int {
		t.Helper()
		request := at(container, probe+" httpGet")
		if text(request, "port") != text(container, "ports 0 name") {
			t.Errorf("%s asks port %s", probe, text(request, "port"))
		}
		// The kubelet does not verify certificates.
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
		r, err := client.Get(strings.ToLower(text(request, "scheme")) + "://" + address + text(request, "path"))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
	for probe, want := range map[string]int{"startupProbe": 200, "livenessProbe": 200, "readinessProbe": 503} {
		if got := get(probe); got != want {
			t.Errorf("%s: %d, want %d", probe, got, want)
		}
	}

	stopped := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitRecord(t, log, "shutting down")
	if got := get("livenessProbe"); got != 200 {
		t.Errorf("a new connection after SIGTERM: %d", got)
	}
	_, _ = io.Copy(io.Discard, log)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	took, limit := time.Since(stopped), time.Duration(number(template, "spec terminationGracePeriodSeconds"))*time.Second
	if took < 5*time.Second || took > limit {
		t.Errorf("it stopped after %v; drain is 5s, and Kubernetes kills it after %v", took, limit)
	}
}

// awaitRecord reads log records until one whose message begins with this text, and returns it.
func awaitRecord(t *testing.T, log *bufio.Reader, message string) map[string]any {
	t.Helper()
	var seen strings.Builder
	for {
		line, err := log.ReadString('\n')
		seen.WriteString(line)
		if err != nil {
			t.Fatalf("no record %q: %v\n%s", message, err, seen.String())
		}
		var record map[string]any
		if json.Unmarshal([]byte(line), &record) == nil && strings.HasPrefix(text(record, "msg"), message) {
			return record
		}
	}
}

// TestPod_IsKilledAfterItHasStopped checks the sum of what the service may take after SIGTERM.
func TestPod_IsKilledAfterItHasStopped(t *testing.T) {
	for _, installation := range slices.Sorted(maps.Keys(installations)) {
		all := render(t, valuesOf(installation)...)
		c := parse(t, rendered(t, all, text(all.deployment(t), "metadata name")))
		// First requests, the connections to Cassandra, and two logs: see "Stop" in docs/operations.md.
		needs := *c.Shutdown.Drain + c.Shutdown.Grace + (2+3+2)*time.Second
		if limit := time.Duration(number(all.deployment(t), "spec template spec terminationGracePeriodSeconds")) * time.Second; limit < needs+2*time.Second {
			t.Errorf("%s: Kubernetes kills after %v, and the service may take %v", installation, limit, needs)
		}
	}
}
