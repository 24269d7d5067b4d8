package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"testing"
)

// unguarded lists, by file and source text, the goroutines and timers of the service that do not recover from panics, with
// the reason. A goroutine that "cannot panic" needs to recover all the same: such claims become wrong when code changes.
var unguarded = map[string]string{
	"store/confirmation.go context.AfterFunc(c.root, cancel)": "runs a function of package context only",
}

// TestGoroutines_RecoverFromPanics checks every go statement, every call of a method Go, and every AfterFunc of the packages
// of the service: it gets a function literal that begins with `defer ….Recover(…)`. Without it, a panic ends the process.
func TestGoroutines_RecoverFromPanics(t *testing.T) {
	found, used := 0, make(map[string]bool)
	for _, s := range sourceFiles(t) {
		if _, ofService := allowedImports[s.dir]; s.isTest || !ofService || isWithin(s.dir, testOnly) || isWithin(s.dir, testTools) || isWithin(s.dir, reportTools) {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			started, call := startedFunction(n)
			if call == nil {
				return true
			}
			found++
			key := s.name + " " + types.ExprString(call)
			if used[key] = unguarded[key] != ""; !used[key] && !recovers(started) {
				t.Errorf("%s:%d: a panic in this goroutine would end the process; begin it with a deferred Recover of a panics.Recorder",
					s.name, s.fset.Position(call.Pos()).Line)
			}
			return true
		})
	}
	for key := range unguarded {
		if !used[key] {
			t.Errorf("unguarded lists %q, which does not exist; remove it", key)
		}
	}
	if found < 10 {
		t.Errorf("found %d goroutines and timers: this test does not look where they are", found)
	}
}

// reportTools are packages of allowedImports that no process of the service uses.
var reportTools = []string{"internal/openloop", "internal/report", "internal/top", "deploy"}

// startedFunction returns the function that n starts in another goroutine, and the call that starts it; nil if n is no such
// call.
func startedFunction(n ast.Node) (started ast.Expr, call *ast.CallExpr) {
	switch n := n.(type) {
	case *ast.GoStmt:
		return n.Call.Fun, n.Call
	case *ast.CallExpr:
		f, ok := n.Fun.(*ast.SelectorExpr)
		if ok && len(n.Args) > 0 && (f.Sel.Name == "Go" || f.Sel.Name == "AfterFunc") {
			return n.Args[len(n.Args)-1], n
		}
	}
	return nil, nil
}

// recovers reports whether f is a function literal that begins with `defer ….Recover(…)`.
func recovers(f ast.Expr) bool {
	literal, ok := f.(*ast.FuncLit)
	if !ok || len(literal.Body.List) == 0 {
		return false
	}
	first, ok := literal.Body.List[0].(*ast.DeferStmt)
	if !ok {
		return false
	}
	method, ok := first.Call.Fun.(*ast.SelectorExpr)
	return ok && method.Sel.Name == "Recover"
}

func TestGoroutines_ExamplesAreJudged(t *testing.T) {
	for text, want := range map[string]struct{ starts, recovers bool }{
		`go func() { defer p.Recover(x, nil); f() }()`:               {true, true},
		`all.Go(func() { defer c.options.p.Recover(x, &err); f() })`: {true, true},
		`time.AfterFunc(d, func() { defer p.Recover(x, nil); f() })`: {true, true},
		`go f()`:                                 {true, false},
		`go func() { f() }()`:                    {true, false},
		`go func() {}()`:                         {true, false},
		`go func() { f(); defer p.Recover() }()`: {true, false},
		`go func() { defer close(c); f() }()`:    {true, false},
		`all.Go(f)`:                              {true, false},
		`time.AfterFunc(d, c.close)`:             {true, false},
		`f(func() {})`:                           {false, false},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() { "+text+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		starts, ok := false, false
		ast.Inspect(file, func(n ast.Node) bool {
			if started, call := startedFunction(n); call != nil && !starts {
				starts, ok = true, recovers(started)
			}
			return true
		})
		if starts != want.starts || ok != want.recovers {
			t.Errorf("%s: starts a goroutine: %v, recovers: %v", text, starts, ok)
		}
	}
}
