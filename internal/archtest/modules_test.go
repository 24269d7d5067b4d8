package archtest

import (
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// modulesFile lists the outside modules that the service links, and the purpose of each.
const modulesFile = "internal/archtest/modules.txt"

// mainPackage is the service's program.
const mainPackage = "./cmd/userinfo"

// testPackages are packages of the standard library that belong to tests and debugging. They would add handlers, flags or
// code to the service that nobody reviews there.
var testPackages = []string{"testing", "net/http/httptest", "net/http/pprof", "net/rpc", "plugin"}

// linkedModules returns the outside modules whose packages the service links on Linux, sorted, and all packages that it
// links.
func linkedModules(t *testing.T) (modules, packages []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
		"{{.ImportPath}} {{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", mainPackage)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	for line := range strings.Lines(string(out)) {
		pkg, module, _ := strings.Cut(strings.TrimSpace(line), " ")
		packages = append(packages, pkg)
		if module != "" {
			modules = append(modules, module)
		}
	}
	slices.Sort(modules)
	return slices.Compact(modules), packages
}

// compareModules returns what is wrong with the list of modules, one sentence for each fault.
func compareModules(list string, linked []string) (faults []string) {
	var listed []string
	for line := range strings.Lines(list) {
		module, purpose, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if strings.TrimSpace(purpose) == "" {
			faults = append(faults, module+": the line does not say, after two spaces, which package needs the module and what for")
		}
		listed = append(listed, module)
	}
	if !slices.IsSorted(listed) {
		faults = append(faults, "the lines are not sorted; run LC_ALL=C sort -o "+modulesFile+" "+modulesFile)
	}
	for _, m := range linked {
		if !slices.Contains(listed, m) {
			faults = append(faults, m+": the service links this module, and the list does not have it. Run `go mod why -m "+m+
				"` to see which package imports it. If only tests or tools need it, remove the import from the service. If the service needs it, "+
				"review the module and add a line: the module, two spaces, which package needs it and what for")
		}
	}
	for _, m := range listed {
		if !slices.Contains(linked, m) {
			faults = append(faults, m+": the service does not link this module any more; remove the line")
		}
	}
	return faults
}

func TestModules_OfServiceAreListed(t *testing.T) {
	linked, packages := linkedModules(t)
	if len(linked) == 0 {
		t.Fatal("go list found no outside module")
	}
	for _, fault := range compareModules(string(readFile(t, modulesFile)), linked) {
		t.Errorf("%s: %s", modulesFile, fault)
	}
	for _, pkg := range packages {
		if slices.Contains(testPackages, pkg) {
			t.Errorf("the service links package %s, which is for tests and debugging only; find the import with `go list -deps -json %s`", pkg, mainPackage)
		}
	}
}

func TestModules_ListIsComparedInBothDirections(t *testing.T) {
	const list = "example.com/a  access: rules\nexample.com/c  store: rows\n"
	for name, c := range map[string]struct {
		list   string
		linked []string
		want   string // a part of the only fault; empty means no fault
	}{
		"equal":             {list, []string{"example.com/a", "example.com/c"}, ""},
		"a new module":      {list, []string{"example.com/a", "example.com/b", "example.com/c"}, "example.com/b: the service links this module"},
		"a module too many": {list, []string{"example.com/a"}, "example.com/c: the service does not link"},
		"no purpose":        {"example.com/a  \n", []string{"example.com/a"}, "what for"},
		"not sorted":        {"example.com/c  store: rows\nexample.com/a  access: rules\n", []string{"example.com/a", "example.com/c"}, "not sorted"},
		"an empty list":     {"", []string{"example.com/a"}, "example.com/a: the service links this module"},
	} {
		t.Run(name, func(t *testing.T) {
			faults := compareModules(c.list, c.linked)
			if c.want == "" && len(faults) == 0 {
				return
			}
			if len(faults) != 1 || c.want == "" || !strings.Contains(faults[0], c.want) {
				t.Errorf("faults %q, want one with %q", faults, c.want)
			}
		})
	}
}

// Forms of inputs that name one version.
var (
	requirement  = regexp.MustCompile(`^[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*( \\)?$`)
	requiredHash = regexp.MustCompile(`^    --hash=sha256:[0-9a-f]{64}( \\)?$`)
	mavenVersion = regexp.MustCompile(`<version>([^<]*)</version>`)
	goTool       = regexp.MustCompile(`(?m)^[A-Z]+ = [a-z][A-Za-z0-9./-]*(@v[0-9][0-9a-z.-]*)?$`)
	engineImage  = regexp.MustCompile(`["=](cassandra:[0-9][0-9.]*(@sha256:[0-9a-f]{64})?)`)
)

// TestInputs_ArePinned checks that the programs which tests fetch have one version each, and a hash if the client checks
// hashes. Modules of go.mod have both in go.sum. apt verifies Debian packages by the archive's signature.
func TestInputs_ArePinned(t *testing.T) {
	files := 0
	images := make(map[string]bool)
	walkFiles(t, func(file string) {
		switch {
		case path.Base(file) == "requirements.txt":
			files++
			checkRequirements(t, file, string(readFile(t, file)))
		case path.Base(file) == "pom.xml":
			files++
			for _, m := range mavenVersion.FindAllStringSubmatch(string(readFile(t, file)), -1) {
				if strings.ContainsAny(m[1], "[](),") || strings.HasSuffix(m[1], "SNAPSHOT") || m[1] == "LATEST" || m[1] == "RELEASE" {
					t.Errorf("%s: version %s can change; name one version", file, m[1])
				}
			}
		case file == "Makefile":
			files++
			for _, m := range goTool.FindAllStringSubmatch(string(readFile(t, file)), -1) {
				if strings.Contains(m[0], "/cmd/") && m[1] == "" {
					t.Errorf("%s: name the version of the tool: %s", file, m[0])
				}
			}
		case file == "internal/testcluster/node.go" || file == "internal/testenv/image.sh":
			files++
			for _, m := range engineImage.FindAllStringSubmatch(string(readFile(t, file)), -1) {
				images[m[1]] = true
				if m[2] == "" {
					t.Errorf("%s: name the image with its hash: %s", file, m[1])
				}
			}
		}
	})
	if len(images) != 1 {
		t.Errorf("the names of Cassandra's image are %v; image.sh and testcluster must use one and the same", images)
	}
	if files < 6 {
		t.Errorf("found %d files: the inputs of tests are not where this test looks", files)
	}
}

// checkRequirements checks that every package of a pip requirements file has one version and at least one hash.
func checkRequirements(t *testing.T, file, text string) {
	t.Helper()
	last, hashes := "", 1
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case requiredHash.MatchString(line):
			hashes++
		case requirement.MatchString(line):
			if hashes == 0 {
				t.Errorf("%s: %s has no hash", file, last)
			}
			last, hashes = line, 0
		default:
			t.Errorf("%s: %q is neither NAME==VERSION nor a hash", file, line)
		}
	}
	if last == "" || hashes == 0 {
		t.Errorf("%s: %q has no hash; see docs/development.md for the command that writes this file", file, last)
	}
}
