//go:build integration

package systemd

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// notReady is the status of a service that has not reached Cassandra.
const notReady = "not ready: This instance has not reached its database yet; listening on "

func TestUnit_StartsAndReportsStatus(t *testing.T) {
	m := startService(t)
	for name, want := range map[string]string{"ActiveState": "active", "SubState": "running", "Type": "notify", "NRestarts": "0", "MemoryMax": "2147483648"} {
		m.wantProperty(name, want)
	}
	m.awaitProperty("StatusText", notReady)
	m.wantServed()
	if log := m.journal(); regexp.MustCompile(`"level":"ERROR"|core dumps are possible|not locked|cannot be notified`).MatchString(log) {
		t.Errorf("the log has errors or warnings of missing protection:\n%s", log)
	}
	m.Run("systemctl stop userinfo")
	for name, want := range map[string]string{"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"} {
		m.wantProperty(name, want)
	}
}

func TestUnit_ReloadReportsFailure(t *testing.T) {
	m := startService(t)
	m.Run("systemctl reload userinfo")
	m.awaitProperty("StatusText", "read all files again")
	m.awaitProperty("StatusText", notReady)
	m.write("/etc/userinfo/userinfo.yaml", configuration+"wrong: 1\n")
	m.Run("systemctl reload userinfo")
	m.awaitProperty("StatusText", "read all files again; reload failed, see the log: clients")
	m.awaitProperty("StatusText", notReady)
	if text := m.property("StatusText"); !strings.HasSuffix(text, "; reload failed, see the log: clients") {
		t.Error(text)
	}
	m.write("/etc/userinfo/userinfo.yaml", configuration)
	m.Run("systemctl reload userinfo")
	m.awaitProperty("StatusText", "read all files again")
	m.wantProperty("ActiveState", "active")
	m.wantProperty("NRestarts", "0")
}

// wantRestart checks that systemd starts the service again after a command, and that it serves then.
func (m *machine) wantRestart(after string) {
	m.t.Helper()
	former := m.property("MainPID")
	m.Run(after)
	m.awaitProperty("NRestarts", "1")
	m.awaitProperty("SubState", "running")
	if pid := m.property("MainPID"); pid == former || pid == "0" {
		m.t.Errorf("process %s became %s", former, pid)
	}
	m.wantServed()
}

// TestUnit_WatchdogRestartsHungProcess shortens the time of the watchdog, to be quick. The rest of the unit is the real one.
func TestUnit_WatchdogRestartsHungProcess(t *testing.T) {
	m := startMachine(t)
	m.dropIn("[Service]\nWatchdogSec=3s\n")
	m.Run("systemctl start userinfo")
	m.Run("sleep 6") // two periods: a service that makes progress is not killed
	m.wantProperty("NRestarts", "0")
	m.wantRestart("systemctl kill --signal=STOP userinfo")
	if log := m.journal(); !strings.Contains(log, "Watchdog timeout") || strings.Contains(log, "goroutine ") {
		t.Errorf("the log must have a timeout and no stack:\n%s", log)
	}
}

// TestUnit_RestartsCrashedProcess sends SIGQUIT, after which a Go program ends as after a crash: with exit code 2.
func TestUnit_RestartsCrashedProcess(t *testing.T) {
	m := startService(t)
	m.wantRestart("systemctl kill --kill-whom=main --signal=QUIT userinfo")
	if log := m.journal(); !strings.Contains(log, "status=2/INVALIDARGUMENT") {
		t.Errorf("the exit code was not 2:\n%s", log)
	}
}

func TestUnit_FailsAfterTenStartsWithWrongConfiguration(t *testing.T) {
	m := startMachine(t)
	m.dropIn("[Service]\nRestartSec=100ms\n")
	m.write("/etc/userinfo/userinfo.yaml", configuration+"wrong: 1\n")
	if out, err := m.Try("systemctl start userinfo"); err == nil {
		t.Errorf("the start succeeded: %s", out)
	}
	m.awaitProperty("ActiveState", "failed")
	if log := m.journal(); strings.Count(log, "Main process exited, code=exited, status=2") != 10 || !strings.Contains(log, "userinfo.yaml:") {
		t.Errorf("want ten starts that name the line:\n%s", log)
	}
}

// TestUnit_ReadsSecretsThatOnlyRootCanRead installs deploy/userinfo-credentials.conf and follows its comments.
func TestUnit_ReadsSecretsThatOnlyRootCanRead(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/userinfo-credentials.conf")
	if err != nil {
		t.Fatal(err)
	}
	settings := regexp.MustCompile(`(?m)^# \w+\.(\w+): (\[?/run/credentials/userinfo\.service/\S+)$`).FindAllSubmatch(text, -1)
	if len(settings) != 4 {
		t.Fatalf("the file explains %d settings; want 4:\n%s", len(settings), text)
	}
	config := configuration
	for _, s := range settings {
		setting := regexp.MustCompile(`\b` + string(s[1]) + `: (\[/?\w[^\]]*\]|[^\[,}\s]+)`)
		if !setting.MatchString(config) {
			t.Fatalf("the configuration has no setting %s", s[1])
		}
		config = setting.ReplaceAllLiteralString(config, string(s[1])+": "+string(s[2]))
	}
	m := startMachine(t)
	m.Run(`secrets="/etc/userinfo/tls/server.key /etc/userinfo/cassandra.password /etc/userinfo/keys/index /etc/userinfo/keys/seal-1"
chown root:root $secrets
chmod 0600 $secrets`)
	if out, err := m.Try("systemctl start userinfo"); err == nil {
		t.Errorf("the service can read files of root: %s", out)
	}
	m.Run("systemctl stop userinfo; systemctl reset-failed userinfo || true")
	m.dropIn(string(text))
	m.write("/etc/userinfo/userinfo.yaml", config)
	m.Run("systemctl start userinfo")
	m.wantServed()
	m.Run("systemctl reload userinfo")
	m.awaitProperty("StatusText", "read all files again")
	m.awaitProperty("StatusText", notReady)
	if text := m.property("StatusText"); strings.Contains(text, "reload failed") {
		t.Error(text)
	}
}

func TestUnit_IsHardened(t *testing.T) {
	m := startMachine(t)
	const analyze = "systemd-analyze security --offline=true --no-pager /etc/systemd/system/userinfo.service --threshold="
	t.Log(regexp.MustCompile("Overall exposure.*").FindString(m.Run(analyze + "15"))) // fails above an exposure of 1.5
	if out, err := m.Try(analyze + "5"); err == nil {
		t.Errorf("no service with a network has an exposure of 0.5, so the threshold does not count:\n%s", out)
	}
	for _, unit := range []string{"userinfo.service", "userinfo.socket"} {
		if out := m.Run("systemd-analyze verify /etc/systemd/system/" + unit + " 2>&1"); strings.Contains(out, "userinfo") {
			t.Errorf("systemd-analyze verify: %s", out)
		}
	}
}
