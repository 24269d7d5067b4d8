package archtest

import (
	"slices"
	"strings"
	"testing"
)

func TestImports_FollowTheLayers(t *testing.T) {
	for _, s := range sourceFiles(t) {
		allowed, listed := allowedImports[s.dir]
		isTool := isWithin(s.dir, testTools)
		if !listed && !isTool {
			t.Errorf("%s: package %s is not in allowedImports; add it", s.name, s.dir)
			continue
		}
		for _, name := range s.imports() {
			imported, ok := strings.CutPrefix(name, modulePrefix)
			if !ok {
				continue
			}
			if isWithin(imported, []string{"cmd"}) {
				t.Errorf("%s imports %s: no package may import the program", s.name, imported)
			}
			if s.isTest || isTool && !listed || slices.Contains(allowed, imported) {
				continue
			}
			if isWithin(imported, testOnly) {
				t.Errorf("%s imports %s: only tests may import that", s.name, imported)
			} else {
				t.Errorf("%s imports %s: of this module, package %s may only import %q", s.name, imported, s.dir, allowed)
			}
		}
	}
}

func TestImports_TableNamesExistingPackagesOnly(t *testing.T) {
	exists := make(map[string]bool)
	for _, s := range sourceFiles(t) {
		exists[s.dir] = true
	}
	for dir := range allowedImports {
		if !exists[dir] {
			t.Errorf("allowedImports lists package %s, which does not exist; remove it", dir)
		}
	}
}

func TestImports_OfLeafPackageTestsStayBelow(t *testing.T) {
	allowedInTests := map[string][]string{
		"access":             {"access", "access/accesstest", "internal/field", "internal/keyfile"},
		"access/signature":   {"access/signature", "internal/keyfile"},
		"access/forwarded":   {"access/forwarded", "internal/certchain", "internal/certchain/certchaintest"},
		"tlsconf":            {"tlsconf", "internal/certchain", "internal/devca", "internal/keyfile"},
		"internal/certchain": {"internal/certchain", "internal/certchain/certchaintest", "internal/devca"},
		"internal/field":     {"internal/field"},
		"internal/devca":     {"internal/devca"},
		"internal/keyfile":   {"internal/keyfile"},
	}
	for _, s := range sourceFiles(t) {
		allowed, isLeaf := allowedInTests[s.dir]
		for _, name := range s.imports() {
			if imported, ok := strings.CutPrefix(name, modulePrefix); isLeaf && ok && !slices.Contains(allowed, imported) {
				t.Errorf("%s imports %s: of this module, package %s and its tests may only import %q", s.name, imported, s.dir, allowed)
			}
		}
	}
}

func TestImports_OfDriverAreInDriverUsersOnly(t *testing.T) {
	for _, s := range sourceFiles(t) {
		for _, name := range s.imports() {
			if isWithin(name, drivers) && !slices.Contains(driverUsers, s.dir) {
				t.Errorf("%s imports %s: only %q may", s.name, name, driverUsers)
			}
		}
	}
}
