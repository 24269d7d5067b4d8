package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// link matches a relative Markdown link, [text](target), and its two parts.
var link = regexp.MustCompile(`\[([^\]]+)\]\(([^)\s]+)\)`)

// declarationName matches a link text that names a Go declaration: `Type`, `Function` or `Type.Method`, in backquotes.
var declarationName = regexp.MustCompile("^`([A-Za-z]\\w*(?:\\.[A-Za-z]\\w*)?)`$")

// TestDocs_LinksAreTrue reads every Markdown file of the tree. Every relative link leads to a file or directory of the tree. A link
// with an anchor leads to a heading of a Markdown file. A link to a Go file whose text is a name in backquotes leads to a file that
// declares this name.
func TestDocs_LinksAreTrue(t *testing.T) {
	links, declarations := 0, 0
	anchorsOf := map[string][]string{}
	walkFiles(t, func(file string) {
		if path.Ext(file) != ".md" {
			return
		}
		text, err := os.ReadFile(path.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target, anchor, _ := strings.Cut(m[2], "#")
			if strings.Contains(m[2], "://") {
				continue
			}
			links++
			if target == "" {
				target = path.Base(file)
			}
			target = path.Join(root, path.Dir(file), target)
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", file, m[2])
				continue
			}
			if anchor != "" && path.Ext(target) == ".md" {
				if anchorsOf[target] == nil {
					anchorsOf[target] = anchors(t, target)
				}
				if !slices.Contains(anchorsOf[target], anchor) {
					t.Errorf("%s: the link to %s leads to no heading", file, m[2])
				}
			}
			if name := declarationName.FindStringSubmatch(m[1]); name != nil && path.Ext(target) == ".go" {
				declarations++
				if !declares(t, target, name[1]) {
					t.Errorf("%s: %s does not declare %s", file, m[2], name[1])
				}
			}
		}
	})
	if links < 20 || declarations < 20 {
		t.Errorf("found %d links and %d names of declarations: the documents are not where this test looks", links, declarations)
	}
}

// codeBlock matches a fenced code block. heading matches a heading and its text. punctuation matches the characters that an
// anchor omits.
var (
	codeBlock   = regexp.MustCompile("(?ms)^```.*?^```$")
	heading     = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	punctuation = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors returns the anchor of each heading of a Markdown file: the heading in lower case, with - for spaces, without
// punctuation.
func anchors(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for _, m := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(text), ""), -1) {
		title := link.ReplaceAllString(m[1], "$1")
		plain := punctuation.ReplaceAllString(strings.ToLower(title), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}

// TestDocs_ReadmeShowsMinimalConfiguration compares the README's configuration with deploy/minimal.yaml, which tests check.
func TestDocs_ReadmeShowsMinimalConfiguration(t *testing.T) {
	_, config, ok := strings.Cut(string(readFile(t, "deploy/minimal.yaml")), "\n\n")
	if !ok || !strings.Contains(string(readFile(t, "README.md")), "```yaml\n"+config+"```\n") {
		t.Error("README.md does not show deploy/minimal.yaml after its comment")
	}
}

// TestDocs_ReadmeIsShort keeps the README readable in one sitting.
func TestDocs_ReadmeIsShort(t *testing.T) {
	text := string(readFile(t, "README.md"))
	if lines, words := strings.Count(text, "\n"), len(strings.Fields(text)); lines > 150 || words > 1500 {
		t.Errorf("README.md has %d lines and %d words; at most 150 and 1,500: move text to docs/", lines, words)
	}
}

// declares reports whether a Go file declares name: a function, type, constant or variable, or Type.Method.
func declares(t *testing.T, file, name string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	receiver, method, isMethod := strings.Cut(name, ".")
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if isMethod && d.Recv != nil && d.Name.Name == method && typeName(d.Recv.List[0].Type) == receiver {
				return true
			}
			if !isMethod && d.Recv == nil && d.Name.Name == name {
				return true
			}
		case *ast.GenDecl:
			if !isMethod && declaresSpec(d, name) {
				return true
			}
		}
	}
	return false
}

func declaresSpec(d *ast.GenDecl, name string) bool {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.Name == name {
				return true
			}
		case *ast.ValueSpec:
			for _, n := range s.Names {
				if n.Name == name {
					return true
				}
			}
		}
	}
	return false
}

// typeName returns the name of a receiver's type, without pointer and type parameters.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
