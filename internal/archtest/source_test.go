package archtest

import (
	"bytes"
	"go/ast"
	"slices"
	"testing"
)

func TestPackages_DoNothingWhenImported(t *testing.T) {
	for _, s := range sourceFiles(t) {
		for _, d := range s.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s has an init function", s.name)
				}
			case *ast.GenDecl:
				if !s.isTest && definesFlag(d) {
					t.Errorf("%s defines a flag of the whole program; define it in a FlagSet of the command", s.name)
				}
			}
		}
		if s.ast.Name.Name != "main" && !s.isTest && slices.Contains(s.imports(), "flag") {
			t.Errorf("%s imports flag: only commands may", s.name)
		}
	}
}

// definesFlag reports whether a declaration calls a function of package flag.
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

func TestPackages_HavePackageComment(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range sourceFiles(t) {
		if !s.isTest || s.dir == "internal/archtest" {
			documented[s.dir] = documented[s.dir] || s.ast.Doc.Text() != ""
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

// TestFiles_HaveNoLeftovers finds reminders of unfinished work, skipped tests and paths of one machine.
func TestFiles_HaveNoLeftovers(t *testing.T) {
	// Each word is split, so that the test does not find itself.
	words := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X:", "t.Skip" + "(", "t.Skip" + "Now(", "t.Skip" + "f(", "b.Skip" + "(",
		"/wo" + "rk/", "/ro" + "ot/", "/tmp/" + "brief"}
	walkFiles(t, func(file string) {
		text := readFile(t, file)
		if bytes.IndexByte(text, 0) >= 0 {
			return // an executable that was built here
		}
		for _, word := range words {
			if i := bytes.Index(text, []byte(word)); i >= 0 {
				t.Errorf("%s:%d contains %q", file, 1+bytes.Count(text[:i], []byte("\n")), word)
			}
		}
	})
}
