// Package archtest tests the source code itself: which package may import which other package, and what must not occur
// in any file.
//
// It parses the files of every build tag. It does not see what a package does through reflection or an interface.
package archtest

import (
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
	"sync"
	"testing"
)

const (
	root         = "../.."
	modulePrefix = "userinfo/"
)

// allowedImports lists, for each package of the service, the packages of this module that it may import. The direction is
// cmd → api → store → access. Package passwords stands beside store, on which it builds: it uses its rules for timestamps
// and for writes that every datacentre must confirm. Package schema shares the rules for layouts, TTLs and names with store.
// The packages that judge and report drills and benchmarks know recorded results and nothing of the service.
var allowedImports = map[string][]string{
	"cmd/userinfo": {"api", "store", "store/seal", "store/cassandra", "store/clockskew", "access", "access/signature",
		"access/forwarded", "schema", "tlsconf", "internal/config", "internal/devca", "internal/field", "internal/keyfile",
		"internal/firewall", "internal/logqueue", "internal/panics", "internal/systemd", "internal/top", "internal/tracing", "passwords"},
	"internal/firewall": {"internal/config", "internal/field", "internal/keyfile"},
	"internal/config": {"api", "store", "store/seal", "store/cassandra", "store/clockskew", "access", "access/signature",
		"access/forwarded", "schema", "tlsconf", "internal/field", "internal/keyfile", "internal/logqueue", "internal/tracing",
		"passwords", "passwords/scheme"},

	"api": {"store", "passwords", "access", "access/signature", "access/forwarded", "tlsconf", "internal/panics", "internal/tracing"},

	"passwords":               {"passwords/scheme", "store", "store/seal", "access", "internal/panics"},
	"passwords/scheme":        nil,
	"passwords/passwordstest": {"passwords", "passwords/scheme", "store", "store/seal", "access", "access/accesstest"},

	"store":                       {"access", "internal/panics", "internal/topk"},
	"store/seal":                  {"store", "access", "internal/keyfile"},
	"store/cassandra":             {"store", "passwords", "store/cassandra/coordinator", "store/clockskew", "access", "internal/panics"},
	"store/cassandra/coordinator": {"internal/panics", "internal/tracing"},
	"store/clockskew":             {"internal/panics"},
	"store/storetest":             {"store", "store/seal", "access", "access/accesstest"},

	"access":            {"internal/field", "internal/keyfile"},
	"access/accesstest": {"access"},
	"access/signature":  {"internal/keyfile"},
	"access/forwarded":  {"internal/certchain"},

	"tlsconf":            {"internal/certchain", "internal/keyfile"},
	"schema":             {"store"},
	"internal/certchain": nil,

	"internal/certchain/certchaintest": nil,

	"internal/field":    nil,
	"internal/keyfile":  nil,
	"internal/panics":   nil,
	"internal/systemd":  nil,
	"internal/top":      nil,
	"internal/topk":     nil,
	"internal/devca":    nil,
	"deploy/cassandra":  nil,
	"internal/logqueue": {"internal/keyfile", "internal/panics"},
	"internal/tracing":  {"internal/panics"},

	"internal/tracing/tracingtest": {"internal/tracing"},

	"drill/history": nil,
	"drill/judge":   {"drill/history"},
	"drill/report":  {"drill/history", "drill/judge", "internal/report"},

	"bench/result":      {"internal/report"},
	"internal/openloop": nil,
	"internal/report":   nil,
}

// testTools are the packages, with everything below them, that test and measure the service. They may import any
// package except the program's. If allowedImports lists one of their subpackages too, that list applies.
var testTools = []string{"internal/attack", "internal/namespace", "internal/testcluster", "internal/fleet", "internal/procedure", "internal/e2e", "internal/archtest", "bench", "drill"}

// testOnly are the packages that only tests and testTools may import, except where allowedImports names one.
var testOnly = []string{"internal/attack", "internal/certchain/certchaintest", "internal/tracing/tracingtest", "internal/devca", "internal/namespace", "internal/testcluster", "internal/fleet", "internal/procedure", "internal/e2e", "internal/archtest",
	"store/storetest", "passwords/passwordstest", "access/accesstest", "bench", "drill"}

// drivers are the Cassandra drivers.
var drivers = []string{"github.com/gocql/gocql", "github.com/apache/cassandra-gocql-driver"}

// driverUsers are the packages that may import a Cassandra driver. testcluster has its own connection, so that the code
// that checks a cluster is not the code under test. bench/target compares the service with the driver alone.
var driverUsers = []string{"store/cassandra", "store/cassandra/coordinator", "internal/testcluster", "bench/target"}

// sourceFile is one parsed Go file.
type sourceFile struct {
	dir    string // relative to the root, with slashes
	name   string // relative to the root, with slashes
	isTest bool
	fset   *token.FileSet
	ast    *ast.File
}

func (s sourceFile) imports() []string {
	var all []string
	for _, i := range s.ast.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			panic(err) // the parser has accepted it
		}
		all = append(all, name)
	}
	return all
}

// isWithin reports whether dir is one of parents or below one of them.
func isWithin(dir string, parents []string) bool {
	return slices.ContainsFunc(parents, func(p string) bool { return dir == p || strings.HasPrefix(dir, p+"/") })
}

// walkFiles calls visit with every regular file of the project, relative to the root and with slashes.
func walkFiles(t *testing.T, visit func(file string)) {
	t.Helper()
	if err := walk(func(file string) error { visit(file); return nil }); err != nil {
		t.Fatal(err)
	}
}

// walk is walkFiles. It ends at the first error of visit.
func walk(visit func(file string) error) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", ".build", "dist"}, d.Name()) {
			return filepath.SkipDir
		}
		if d.Name() == ".git" {
			return nil // a linked worktree has a file of this name
		}
		if !d.Type().IsRegular() {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		return visit(filepath.ToSlash(rel))
	})
}

// readFile returns the content of a file that walkFiles has named.
func readFile(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sourceFiles returns every Go file of the project. The tests share the files and must not change them.
func sourceFiles(t *testing.T) []sourceFile {
	t.Helper()
	all, err := parseFiles()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no Go file was found")
	}
	return all
}

// parseFiles parses every Go file of the project, once.
var parseFiles = sync.OnceValues(func() (all []sourceFile, err error) {
	err = walk(func(file string) error {
		if path.Ext(file) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, filepath.Join(root, file), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, sourceFile{dir: path.Dir(file), name: file, isTest: strings.HasSuffix(file, "_test.go"), fset: fset, ast: f})
		return nil
	})
	return all, err
})
