package archtest

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// integrationLists matches the three lists of packages in the Makefile: a name, and one package in each line.
var integrationLists = regexp.MustCompile(`(?m)^(CLUSTER_TESTS|ENGINE_TESTS|CLIENT_TESTS) =((?: \\\n\t\S+)+)$`)

// TestIntegrationTests_AreInOneListOfMakefile checks that `make test` runs the integration tests of every package, once.
func TestIntegrationTests_AreInOneListOfMakefile(t *testing.T) {
	makefile := string(readFile(t, "Makefile"))
	lists := integrationLists.FindAllStringSubmatch(makefile, -1)
	if len(lists) != 3 || strings.Count(makefile, "_TESTS =")+strings.Count(makefile, "_TESTS +=") != 3 {
		t.Fatalf("the Makefile must have one CLUSTER_TESTS, one ENGINE_TESTS and one CLIENT_TESTS, with one package in each line; found %q", lists)
	}
	missing := make(map[string]bool)
	for _, s := range sourceFiles(t) {
		if s.isTest && isIntegration(s) {
			missing["./"+s.dir] = true
		}
	}
	for _, l := range lists {
		packages := strings.Fields(strings.ReplaceAll(l[2], "\\", ""))
		for _, p := range packages {
			if !missing[p] {
				t.Errorf("%s lists %s, which is listed before or has no integration test; remove it", l[1], p)
			}
			delete(missing, p)
		}
	}
	for p := range missing {
		t.Errorf("%s has integration tests and is in no list of the Makefile; add it to CLUSTER_TESTS or ENGINE_TESTS if it needs a container engine, and otherwise to CLIENT_TESTS", p)
	}
}

// isIntegration reports whether a file is only built with the tag integration.
func isIntegration(s sourceFile) bool {
	return slices.ContainsFunc(s.ast.Comments, func(g *ast.CommentGroup) bool {
		return slices.ContainsFunc(g.List, func(c *ast.Comment) bool { return c.Text == "//go:build integration" })
	})
}
