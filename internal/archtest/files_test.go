package archtest

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"testing"
)

// fileReaders are the functions with which a program opens a file for reading, by package.
var fileReaders = map[string][]string{
	"os":                        {"ReadFile", "Open", "OpenFile", "DirFS", "OpenRoot", "OpenInRoot", "CopyFS"},
	"io/ioutil":                 {"ReadFile"},
	"syscall":                   {"Open", "Openat", "Mmap"},
	"golang.org/x/sys/unix":     {"Open", "Openat", "Openat2"},
	"crypto/tls":                {"LoadX509KeyPair"},
	"userinfo/internal/keyfile": {"ReadPublic"},
}

// readersOf lists the files of the service that may call a function of fileReaders, and why.
var readersOf = map[string]string{
	"internal/keyfile/keyfile.go":    "defines the rules",
	"internal/config/file.go":        "the configuration is not secret",
	"internal/config/reload.go":      "the configuration is not secret",
	"internal/firewall/inventory.go": "the inventory is not secret",
	"tlsconf/files.go":               "certificates, CAs and revocation lists are not secret",
	"cmd/userinfo/democerts.go":      "the configuration is not secret",
	"cmd/userinfo/instance.go":       "certificates are not secret",
	"cmd/userinfo/sign.go":           "the body of a request may be any file",
	"cmd/userinfo/top.go":            "a certificate is not secret",
	"internal/logqueue/file.go":      "opens the file of audit records to append to it, with checks of its own",
}

// TestFiles_AreReadByKeyfileOnly checks that the service reads every file through package keyfile, which checks who else can use the
// file, and that only a listed source file says of a file that it is not secret. So a new kind of secret file obeys the rule.
// The test does not see what another module reads.
func TestFiles_AreReadByKeyfileOnly(t *testing.T) {
	used := make(map[string]bool)
	for _, s := range sourceFiles(t) {
		if _, isService := allowedImports[s.dir]; !isService || s.isTest || isWithin(s.dir, slices.Concat(testTools, testOnly)) {
			continue
		}
		for _, call := range callsOf(s, fileReaders) {
			used[s.name] = true
			if readersOf[s.name] == "" {
				t.Errorf("%s calls %s: read a secret file with keyfile.Read; if the file is not secret, add this source file to readersOf and say why", s.name, call)
			}
		}
	}
	for name := range readersOf {
		if !used[name] {
			t.Errorf("readersOf lists %s, which reads no file; remove it", name)
		}
	}
}

// callsOf returns the functions of a table that a file names, as package.Function.
func callsOf(s sourceFile, functions map[string][]string) (calls []string) {
	packages := make(map[string]string) // import path by the name in this file
	for _, i := range s.ast.Imports {
		imported, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			panic(err) // the parser has accepted it
		}
		name := path.Base(imported)
		if i.Name != nil {
			name = i.Name.Name
		}
		packages[name] = imported
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(functions[packages[x.Name]], sel.Sel.Name) {
				calls = append(calls, x.Name+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return calls
}
