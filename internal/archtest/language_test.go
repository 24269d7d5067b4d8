package archtest

import (
	"go/ast"
	"path"
	"regexp"
	"strings"
	"testing"
)

// forbiddenPhrases are hard to read for readers of English as a second language. Each is split, so that the test does not
// find itself.
var forbiddenPhrases = regexp.MustCompile(`(?i)\b(of ` + `which|that ` + `of|who` + `ever|le` + `st [a-z]|but ` + `for|is ` + `none)\b`)

func TestComments_ContainNoForbiddenPhrases(t *testing.T) {
	for _, s := range sourceFiles(t) {
		for _, group := range s.ast.Comments {
			for _, phrase := range forbiddenPhrases.FindAllString(joinLines(group.Text()), -1) {
				t.Errorf("%s:%d: the comment contains %q; say it more simply", s.name, s.fset.Position(group.Pos()).Line, phrase)
			}
		}
	}
}

func TestMarkdown_ContainsNoForbiddenPhrases(t *testing.T) {
	walkFiles(t, func(file string) {
		if path.Ext(file) != ".md" {
			return
		}
		for _, phrase := range forbiddenPhrases.FindAllString(joinLines(string(readFile(t, file))), -1) {
			t.Errorf("%s contains %q; say it more simply", file, phrase)
		}
	})
}

// joinLines replaces white space by single spaces, so that a phrase is found across lines.
func joinLines(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestForbiddenPhrases_MatchWholeWords(t *testing.T) {
	for text, want := range map[string]bool{
		"the file, of " + "which there are two":     true,
		"Who" + "ever comes":                        true,
		"closed, le" + "st a client waits":          true,
		"all files but " + "for one":                true,
		"at least one, the latest, and for nothing": false,
		"the key that often changes":                false,
	} {
		if got := forbiddenPhrases.MatchString(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// testName is the form of a test's name: TestType_Behaviour.
var testName = regexp.MustCompile(`^Test[A-Z][A-Za-z0-9]*_[A-Z]`)

func TestTests_AreNamedForTypeAndBehaviour(t *testing.T) {
	for _, s := range sourceFiles(t) {
		if !s.isTest {
			continue
		}
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || f.Name.Name == "TestMain" {
				continue
			}
			if !testName.MatchString(f.Name.Name) {
				t.Errorf("%s: name %s like TestType_Behaviour", s.name, f.Name.Name)
			}
		}
	}
}
