// Package archtest holds the source to the architecture: which package may import which, and what may be nowhere.
// It reads text, so it sees every build tag, and nothing that is done by reflection or through an interface.
package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "userinfo/"
)

// layers says of each package of the service which of ours it may import: cmd → api → store → access, in one
// direction; tlsconf and schema are leaves. What judges the service and tells of it knows histories and results, and
// nothing of the service.
var layers = map[string][]string{
	"cmd/userinfo":      {"api", "store", "access", "access/signature", "access/forwarded", "schema", "tlsconf", "internal/devca", "internal/field", "internal/keyfile"},
	"api":               {"api/http1", "store", "access", "access/signature", "access/forwarded", "tlsconf"},
	"api/http1":         nil,
	"store":             {"access", "internal/keyfile"},
	"store/storetest":   {"store", "access", "access/accesstest"},
	"access":            {"internal/field", "internal/keyfile"},
	"access/accesstest": {"access"},
	"access/signature":  nil,
	"access/forwarded":  nil,
	"tlsconf":           {"internal/keyfile"},
	"schema":            nil,
	"internal/field":    nil,
	"internal/keyfile":  nil,
	"internal/devca":    nil,
	"deploy/cassandra":  nil,

	"drill/history": nil,
	"drill/judge":   {"drill/history"},
	"drill/report":  {"drill/history", "drill/judge", "internal/report", "internal/chart", "internal/page"},

	"bench/result":   nil,
	"bench/report":   {"bench/result", "internal/report", "internal/chart", "internal/page"},
	"internal/chart": {"internal/page"},
	"internal/page":  nil,

	"internal/page/pagetest": nil,

	"internal/report":   nil,
	"internal/openloop": nil,
}

// workshop is what the service is tested and measured with. It may import anything but the program and each other's
// parts are its own affair, but for those that are listed above.
var workshop = []string{"internal/testcluster", "internal/fleet", "internal/e2e", "internal/archtest", "bench", "drill"}

// onlyForTests may be imported by the workshop, by tests, and by nothing of the service but what is listed above.
var onlyForTests = []string{"internal/devca", "internal/testcluster", "internal/fleet", "internal/e2e", "internal/archtest", "store/storetest", "access/accesstest", "internal/page/pagetest", "bench", "drill"}

// drivers are Cassandra's. Only store speaks to Cassandra; testcluster, which makes one, has a connection of its own so
// that what is tested is not what tests, and the benchmark holds the service against the bare driver.
var drivers = []string{"github.com/gocql/gocql", "github.com/apache/cassandra-gocql-driver"}

var driverUsers = []string{"store", "internal/testcluster", "bench/target"}

// source is one parsed file.
type source struct {
	dir  string // slashed, from the root
	file string
	test bool
	ast  *ast.File
}

func (s source) imports() []string {
	var all []string
	for _, i := range s.ast.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			panic(err) // the parser has read it
		}
		all = append(all, name)
	}
	return all
}

// within tells whether dir is one of parents or below one.
func within(dir string, parents []string) bool {
	return slices.ContainsFunc(parents, func(p string) bool { return dir == p || strings.HasPrefix(dir, p+"/") })
}

// walk gives every file of the project.
func walk(t *testing.T, each func(file string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", ".build"}, d.Name()) {
			return filepath.SkipDir
		}
		if d.Name() == ".git" {
			return nil // a linked worktree has a file of this name
		}
		if d.Type().IsRegular() {
			rel, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			each(filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	walk(t, func(file string) {
		if path.Ext(file) != ".go" {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{dir: path.Dir(file), file: file, test: strings.HasSuffix(file, "_test.go"), ast: f})
	})
	if len(all) == 0 {
		t.Fatal("there is no source")
	}
	return all
}

func TestImportsGoOneWay(t *testing.T) {
	for _, s := range sources(t) {
		allowed, listed := layers[s.dir]
		shop := within(s.dir, workshop)
		if !listed && !shop {
			t.Errorf("%s: package %s has no place in the architecture; give it one here", s.file, s.dir)
			continue
		}
		for _, name := range s.imports() {
			ours, ok := strings.CutPrefix(name, module)
			if !ok {
				continue
			}
			if within(ours, []string{"cmd"}) {
				t.Errorf("%s imports the program", s.file)
			}
			if s.test || shop && !listed || slices.Contains(allowed, ours) {
				continue
			}
			if within(ours, onlyForTests) {
				t.Errorf("%s imports %s, which is for tests", s.file, ours)
			} else {
				t.Errorf("%s imports %s: %s may import only %q of ours", s.file, ours, s.dir, allowed)
			}
		}
	}
}

func TestTestsOfALeafNeedNoLayerAboveIt(t *testing.T) {
	leaves := map[string][]string{
		"access":           {"access", "access/accesstest", "internal/field", "internal/keyfile"},
		"access/signature": {"access/signature"},
		"access/forwarded": {"access/forwarded"},
		"tlsconf":          {"tlsconf", "internal/devca", "internal/keyfile"},
		"internal/field":   {"internal/field"},
		"internal/devca":   {"internal/devca"},
		"internal/keyfile": {"internal/keyfile"},
	}
	for _, s := range sources(t) {
		allowed, leaf := leaves[s.dir]
		for _, name := range s.imports() {
			if ours, ok := strings.CutPrefix(name, module); leaf && ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s", s.file, ours)
			}
		}
	}
}

func TestOnlyTheStoreKnowsTheDriver(t *testing.T) {
	for _, s := range sources(t) {
		for _, name := range s.imports() {
			if within(name, drivers) && !slices.Contains(driverUsers, s.dir) {
				t.Errorf("%s imports %s", s.file, name)
			}
		}
	}
}

func TestNoPackageDoesAnythingByBeingImported(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s has an init function", s.file)
				}
			case *ast.GenDecl:
				if !s.test && definesFlag(d) {
					t.Errorf("%s has a flag of the package; define it in a FlagSet of the command", s.file)
				}
			}
		}
		if s.ast.Name.Name != "main" && !s.test && slices.Contains(s.imports(), "flag") {
			t.Errorf("%s is no command and has flags", s.file)
		}
	}
}

// definesFlag tells whether a declaration calls a function of package flag.
func definesFlag(d *ast.GenDecl) (found bool) {
	ast.Inspect(d, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "flag" {
					found = true
				}
			}
		}
		return true
	})
	return found
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range sources(t) {
		if !s.test || s.dir == "internal/archtest" {
			documented[s.dir] = documented[s.dir] || s.ast.Doc.Text() != ""
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

func TestNothingIsLeftToDoSkippedOrOfOneMachine(t *testing.T) {
	// The words are in halves, lest this file be found.
	words := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X:", "t.Skip" + "(", "t.Skip" + "Now(", "t.Skip" + "f(", "b.Skip" + "(", "/wo" + "rk/", "/ro" + "ot/", "/tmp/" + "brief"}
	walk(t, func(file string) {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text, 0) >= 0 {
			return // a program that was built here
		}
		for _, word := range words {
			if i := bytes.Index(text, []byte(word)); i >= 0 {
				t.Errorf("%s:%d has %s", file, 1+bytes.Count(text[:i], []byte("\n")), word)
			}
		}
	})
}
