//go:build integration

package release

import (
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

func TestRelease_HasFourFilesWithTrueSums(t *testing.T) {
	dist := build(t, newVersion)
	entries, err := os.ReadDir(dist)
	if err != nil {
		t.Fatal(err)
	}
	want := []*regexp.Regexp{
		regexp.MustCompile(`^SHA256SUMS$`),
		regexp.MustCompile(`^userinfo-\S+-linux-[a-z0-9]+$`),
		regexp.MustCompile(`^userinfo-\S+-linux-[a-z0-9]+\.cdx\.json$`),
		regexp.MustCompile(`^userinfo_\S+-1_[a-z0-9]+\.deb$`),
	}
	if len(entries) != len(want) {
		t.Fatalf("the release has %d files, want %d: %v", len(entries), len(want), entries)
	}
	for i, e := range entries {
		if !want[i].MatchString(e.Name()) {
			t.Errorf("file %d is %s, want %s", i, e.Name(), want[i])
		}
	}
	check := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = dist
	out, err := check.CombinedOutput()
	if err != nil || strings.Count(string(out), ": OK") != len(want)-1 {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
}

func TestRelease_ProgramIsStaticAndKnowsItsVersion(t *testing.T) {
	file := program(t, build(t, newVersion))
	e, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program has a segment %v: it is not static", p.Type)
		}
	}
	version := regexp.MustCompile(`^userinfo-(.+)-linux-`).FindStringSubmatch(filepath.Base(file))[1]
	commit := run(t, "git", "-C", projectRoot, "rev-parse", "HEAD")
	date := run(t, "git", "-C", projectRoot, "log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ")
	said := run(t, file, "version")
	if want := "userinfo " + version + " (commit " + commit + ", " + date + ")"; said != want {
		t.Errorf("the program says %q, want %q", said, want)
	}
	modified := run(t, "git", "-C", projectRoot, "status", "--porcelain") != ""
	if strings.HasSuffix(version, "modified") != modified {
		t.Errorf("the version is %s; there are changes that are not committed: %v", version, modified)
	}
}

// run runs a command and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return strings.TrimSpace(string(out))
}

// sbom is the part of a CycloneDX document that the test reads.
type sbom struct {
	BOMFormat    string
	SerialNumber string
	Metadata     struct {
		Timestamp string
		Component component
	}
	Components []component
}

type component struct {
	Name, Version string
	Hashes        []struct{ Alg, Content string }
	Evidence      struct{ Licenses []any }
}

// TestRelease_SBOMNamesTheModulesOfTheProgram compares the SBOM with what Go recorded in the program.
func TestRelease_SBOMNamesTheModulesOfTheProgram(t *testing.T) {
	dist := build(t, newVersion)
	text, err := os.ReadFile(only(t, dist, "*.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s sbom
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	if s.BOMFormat != "CycloneDX" || s.Metadata.Component.Name != "userinfo" || !strings.Contains(program(t, dist), s.Metadata.Component.Version) {
		t.Errorf("format %q, component %+v", s.BOMFormat, s.Metadata.Component)
	}
	if s.SerialNumber != "" || s.Metadata.Timestamp != "" {
		t.Errorf("serial number %q and time %q differ in each build", s.SerialNumber, s.Metadata.Timestamp)
	}
	info, err := buildinfo.ReadFile(program(t, dist))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range s.Components {
		got = append(got, c.Name)
		if c.Name != "std" && (len(c.Hashes) == 0 || len(c.Evidence.Licenses) == 0) {
			t.Errorf("%s has %d hashes and %d licences", c.Name, len(c.Hashes), len(c.Evidence.Licenses))
		}
	}
	want := []string{"std"}
	for _, m := range info.Deps {
		want = append(want, modulePath(m))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the SBOM has the modules\n%v\nthe program has\n%v", got, want)
	}
}

func modulePath(m *debug.Module) string {
	if m.Replace != nil {
		return m.Replace.Path
	}
	return m.Path
}

func TestRelease_PackagePassesLintian(t *testing.T) {
	deb := only(t, build(t, newVersion), "*.deb")
	out, err := exec.Command("lintian", "--allow-root", "--fail-on", "error", deb).CombinedOutput()
	if err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
	t.Logf("lintian says:\n%s", out)
}
