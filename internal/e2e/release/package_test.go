//go:build integration

package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"userinfo/internal/devca"
	"userinfo/internal/e2e/debian"
	"userinfo/internal/procedure"
)

// TestPackage_IsInstalledUpgradedRemovedAndPurged follows "Install the Debian package" in docs/operations.md on a machine with systemd.
// There is no Cassandra: the service runs and is not ready.
func TestPackage_IsInstalledUpgradedRemovedAndPurged(t *testing.T) {
	docs := procedure.Read(t, filepath.Join(projectRoot, "docs", "operations.md"), "## Install the Debian package")
	m := startMachine(t)
	copyRelease(t, m, withOtherExample(t, build(t, oldVersion)), "/old")
	copyRelease(t, m, build(t, newVersion), "/new")
	in := func(dir, text string) string { return m.Run("cd " + dir + "\n" + docs.Take(text)) }

	in("/old", "apt-get install ./")
	checkInstallation(t, m)

	in("/", "userinfo key new")
	docs.Take("ssh ") // needs a second host
	copyCertificates(t, m)
	in("/certificates", "install -m 0640")
	m.Run("sed -i 's/default_ttl: 24h/default_ttl: 12h/' /etc/userinfo/userinfo.yaml")
	m.Run("chown -R userinfo /etc/userinfo/tls && chmod 2700 /etc/userinfo/tls && chmod 0400 /etc/userinfo/tls/*")
	in("/", "check-config")
	in("/", "systemctl enable --now")
	waitServing(m)
	in("/", "systemctl status")
	before := m.Run("systemctl show --property MainPID --value userinfo")
	checkVersion(t, m, oldVersion)

	in("/new", "--force-confold")
	waitServing(m)
	if after := m.Run("systemctl show --property MainPID --value userinfo"); after == before || after == "0" {
		t.Errorf("the upgrade did not restart the service: process %s before, %s after", before, after)
	}
	checkVersion(t, m, strings.Split(run(t, program(t, build(t, newVersion)), "version"), " ")[1])
	checkConfiguration(t, m)
	equal(t, "owner and mode that the administrator has set", m.Run("stat -c '%a %U' /etc/userinfo/tls"), "2700 userinfo")
	equal(t, "the new example beside the changed one", m.Run("ls /etc/userinfo/userinfo.yaml.dpkg-dist"), "/etc/userinfo/userinfo.yaml.dpkg-dist")
	equal(t, "the units at the next boot", m.Run("systemctl is-enabled userinfo.socket userinfo"), "enabled\nenabled")

	in("/", "apt-get remove")
	if out, err := m.Try("curl -sk https://127.0.0.1:8443/healthz"); err == nil {
		t.Errorf("after remove the service answers: %s", out)
	}
	fails(t, m, "after remove, the socket is open", "systemctl is-active userinfo.socket")
	fails(t, m, "after remove, the unit is still there", "systemctl cat userinfo")
	fails(t, m, "after remove, the program is still there", "test -e /usr/bin/userinfo")
	checkConfiguration(t, m)
	m.Run("test -s /etc/userinfo/keys/index && test -d /var/log/userinfo && id userinfo")

	m.Run("cd /new && apt-get install -o Dpkg::Options::=--force-confold ./userinfo_*.deb")
	checkConfiguration(t, m)
	m.Run("systemctl start userinfo")
	waitServing(m)

	in("/", "apt-get purge")
	checkPurged(t, m)
	docs.End()
}

// TestPackage_PurgeWithoutConfigurationSucceeds installs and purges a package that was never configured.
func TestPackage_PurgeWithoutConfigurationSucceeds(t *testing.T) {
	m := startMachine(t)
	copyRelease(t, m, build(t, newVersion), "/new")
	m.Run("apt-get install /new/userinfo_*.deb")
	checkInstallation(t, m)
	equal(t, "files that differ from the package", m.Run("dpkg --verify userinfo"), "")
	m.Run("apt-get purge userinfo")
	checkPurged(t, m)
}

// startMachine starts a machine whose apt-get asks no questions.
func startMachine(t *testing.T) *debian.Machine {
	t.Helper()
	m := debian.Start(t)
	m.Run(`echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/90yes`)
	return m
}

// withOtherExample returns a release whose package has another example configuration, as an older version may have.
func withOtherExample(t *testing.T, dist string) string {
	t.Helper()
	dir := t.TempDir()
	deb := only(t, dist, "*.deb")
	root, changed := filepath.Join(dir, "root"), filepath.Join(dir, "changed")
	if err := os.Mkdir(changed, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "dpkg-deb", "--raw-extract", deb, root)
	example := filepath.Join(root, "etc/userinfo/userinfo.yaml")
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(example, append([]byte("# An older example.\n"), text...), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(changed, filepath.Base(deb))
	run(t, "dpkg-deb", "--root-owner-group", "--build", root, file)
	sums := exec.Command("sh", "-c", "sha256sum userinfo_*.deb >SHA256SUMS")
	sums.Dir = changed
	if out, err := sums.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return changed
}

func copyRelease(t *testing.T, m *debian.Machine, dist, to string) {
	t.Helper()
	m.Run("mkdir " + to)
	m.Copy(only(t, dist, "*.deb"), to+"/")
	m.Copy(filepath.Join(dist, "SHA256SUMS"), to+"/")
}

// copyCertificates makes the certificates that the documents take as given.
func copyCertificates(t *testing.T, m *debian.Machine) {
	t.Helper()
	ca, err := devca.New("tests of the package")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "certificates")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.Write(dir, "server", devca.Loopback()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cassandra-ca.crt"), ca.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	m.Copy(dir, "/")
}

// waitServing waits until the service answers.
func waitServing(m *debian.Machine) {
	m.Run("until curl -skf https://127.0.0.1:8443/healthz; do systemctl is-active userinfo || exit 1; sleep 0.1; done")
}

// checkInstallation checks a fresh installation.
func checkInstallation(t *testing.T, m *debian.Machine) {
	t.Helper()
	equal(t, "the user", m.Run("getent passwd userinfo | cut -d: -f6,7; id -Gn userinfo"), "/nonexistent:/usr/sbin/nologin\nuserinfo")
	for _, dir := range []string{"/etc/userinfo", "/etc/userinfo/keys", "/etc/userinfo/tls"} {
		equal(t, dir, m.Run("stat -c '%a %U %G' "+dir), "2750 root userinfo")
	}
	equal(t, "conffiles", m.Run("dpkg-query -W -f '${Conffiles}' userinfo | cut -d' ' -f2 | sort | paste -sd' '"), "/etc/logrotate.d/userinfo /etc/userinfo/userinfo.yaml")
	equal(t, "the user may read the example", m.Run("runuser -u userinfo -- test -r /etc/userinfo/userinfo.yaml && echo yes"), "yes")
	fails(t, m, "the service was started without a configuration", "systemctl is-active userinfo")
	fails(t, m, "the service was enabled without a configuration", "systemctl is-enabled userinfo")
	m.Run("systemd-analyze verify /usr/lib/systemd/system/userinfo.service")
	m.Run("logrotate --debug /etc/logrotate.d/userinfo")
	m.Run("test -s /usr/share/man/man1/userinfo-serve.1.gz && zcat /usr/share/doc/userinfo/changelog.gz | grep -q '^# Changelog'")
	m.Run("test -s /usr/share/doc/userinfo/docs/operations.md && test -s /usr/share/doc/userinfo/examples/userinfo.yaml && test -s /usr/share/doc/userinfo/sbom.cdx.json")
	equal(t, "completion", m.Run("userinfo __complete vers 2>/dev/null | head -n 1 | cut -f1; grep -l __start_userinfo /usr/share/bash-completion/completions/userinfo"),
		"version\n/usr/share/bash-completion/completions/userinfo")
}

// checkVersion checks the version of the running process, not of the file.
func checkVersion(t *testing.T, m *debian.Machine, want string) {
	t.Helper()
	equal(t, "version of the running program", m.Run("/proc/$(systemctl show --property MainPID --value userinfo)/exe version | cut -d' ' -f2"), want)
}

// checkConfiguration checks that the changed configuration is still there.
func checkConfiguration(t *testing.T, m *debian.Machine) {
	t.Helper()
	equal(t, "the changed setting", m.Run("sed -n 's/ *#.*//; s/.*default_ttl: //p' /etc/userinfo/userinfo.yaml"), "12h")
}

// checkPurged checks that nothing of the package is left.
func checkPurged(t *testing.T, m *debian.Machine) {
	t.Helper()
	equal(t, "files after purge", m.Run("find / -xdev -iname '*userinfo*' -not -path '/old/*' -not -path '/new/*' -not -path '/proc/*'"), "")
	fails(t, m, "after purge, the user is still there", "getent passwd userinfo")
	fails(t, m, "after purge, the group is still there", "getent group userinfo")
	fails(t, m, "after purge, dpkg knows the package", "dpkg-query -W userinfo")
	equal(t, "failed units", m.Run("systemctl list-units --failed --plain --no-legend 'userinfo*'"), "")
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// fails reports a problem if a command succeeds.
func fails(t *testing.T, m *debian.Machine, problem, command string) {
	t.Helper()
	if out, err := m.Try(command); err == nil {
		t.Errorf("%s: %s", problem, out)
	}
}
