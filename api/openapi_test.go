package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"userinfo/access"
	"userinfo/internal/devca"
	"userinfo/store"
)

const problemType = "application/problem+json"

func description(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(Description)
	if err != nil {
		t.Fatal("reading the description: ", err)
	}
	return doc
}

func TestDescription_IsValidOpenAPI(t *testing.T) {
	if err := description(t).Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDescription_ListsExactlyTheRoutes(t *testing.T) {
	var described, routed []string
	for path, item := range description(t).Paths.Map() {
		for method, o := range item.Operations() {
			open := o.Security != nil && slices.ContainsFunc(*o.Security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 })
			described = append(described, fmt.Sprintf("%s %s open:%t", method, path, open))
		}
	}
	for _, r := range newAPI(t, setup{}).api.routes() {
		routed = append(routed, fmt.Sprintf("%s %s open:%t", r.method, strings.Replace(r.path, ":key", "{key}", 1), r.health))
	}
	slices.Sort(described)
	slices.Sort(routed)
	if !slices.Equal(described, routed) {
		t.Errorf("described:\n%s\nrouted:\n%s", strings.Join(described, "\n"), strings.Join(routed, "\n"))
	}
}

func TestDescription_ListsExactlyTheProblems(t *testing.T) {
	doc := description(t)
	described := map[outcome]bool{}
	for _, r := range doc.Components.Responses {
		for _, o := range problemsOf(r.Value) {
			described[o] = true
		}
	}
	written := problemsInCode(t)
	if len(written) < len(sharedProblems) {
		t.Fatalf("found only %d problems in the code", len(written))
	}
	if !maps.Equal(described, written) {
		t.Errorf("described: %v\nin the code: %v", sorted(described), sorted(written))
	}
	types := map[string]bool{}
	for o := range written {
		types[o.problem] = true
	}
	listed := map[string]bool{}
	for _, one := range doc.Components.Schemas["Problem"].Value.Properties["type"].Value.Enum {
		listed[one.(string)] = true
	}
	if !maps.Equal(listed, types) {
		t.Errorf("the schema Problem lists %v, the code has %v", listed, types)
	}
}

// outcome is the status of a response and, for a problem document, its type.
type outcome struct {
	status  int
	problem string
}

func sorted(outcomes map[outcome]bool) []outcome {
	return slices.SortedFunc(maps.Keys(outcomes), func(a, b outcome) int {
		return cmp.Or(a.status-b.status, strings.Compare(a.problem, b.problem))
	})
}

// problemsOf returns the problems that a described response can have.
func problemsOf(r *openapi3.Response) []outcome {
	media := r.Content[problemType]
	if media == nil {
		return nil
	}
	status, kind := media.Schema.Value.Properties["status"].Value, media.Schema.Value.Properties["type"].Value
	types := kind.Enum
	if kind.Const != nil {
		types = []any{kind.Const}
	}
	var all []outcome
	for _, one := range types {
		all = append(all, outcome{int(status.Const.(float64)), one.(string)})
	}
	return all
}

// problemsInCode finds the problems in the source of this package: newProblem(http.StatusX, "name", …), and
// problem{Type: "name", Status: http.StatusX} with or without problemBase.
func problemsInCode(t *testing.T) map[outcome]bool {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[outcome]bool{}
	note := func(status, name ast.Expr) {
		if n, s := literal(name), statusNamed(status); n != "" && s != 0 {
			found[outcome{s, problemBase + n}] = true
		}
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "newProblem" {
					note(n.Args[0], n.Args[1])
				}
			case *ast.CompositeLit:
				fields := map[string]ast.Expr{}
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						fields[fmt.Sprint(kv.Key)] = kv.Value
					}
				}
				note(fields["Status"], fields["Type"])
			}
			return true
		})
	}
	return found
}

// literal returns the string literal that e is or ends with, or "".
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return literal(e.Y)
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return s
		}
	}
	return ""
}

// statusNamed returns the status of an expression such as http.StatusOK, or 0.
func statusNamed(e ast.Expr) int {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return 0
	}
	for status := range 600 {
		if text := http.StatusText(status); text != "" && "Status"+strings.ReplaceAll(text, " ", "") == s.Sel.Name {
			return status
		}
	}
	return 0
}

// situation is the state of the service, and how a request differs from one that succeeds.
type situation struct {
	setup
	change func(*http.Request)
	drain  bool
	again  bool // the request is sent twice
}

// storeErrors lists the errors that store.Store may return for each method.
var storeErrors = map[string][]error{
	http.MethodGet:    {access.ErrDenied, store.ErrKey, store.ErrNotFound, store.ErrSealed, store.ErrUnavailable, store.ErrNotReady},
	http.MethodPut:    {access.ErrDenied, store.ErrKey, store.ErrTTL, store.ErrDeleted, store.ErrUnavailable, store.ErrNotReady, store.ErrTooLarge, store.ErrFull},
	http.MethodPost:   {access.ErrDenied, store.ErrKey, store.ErrTTL, store.ErrDeleted, store.ErrUnavailable, store.ErrNotReady, store.ErrTooLarge, store.ErrFull},
	http.MethodPatch:  {access.ErrDenied, store.ErrKey, store.ErrTTL, store.ErrNotFound, store.ErrTooLarge, store.ErrSealed, store.ErrUnavailable, store.ErrNotReady},
	http.MethodDelete: {access.ErrDenied, store.ErrKey, store.ErrNotEverywhere, store.ErrUnavailable, store.ErrNotReady, store.ErrFull},
}

func TestDescription_ListsExactlyTheResponses(t *testing.T) {
	doc := description(t)
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			t.Run(operation.OperationID, func(t *testing.T) {
				given := map[outcome]bool{}
				for _, s := range situations(method, path) {
					given[s.answer(t, doc, method, path, operation)] = true
				}
				described := map[outcome]bool{}
				for status, r := range operation.Responses.Map() {
					n, err := strconv.Atoi(status)
					if err != nil {
						t.Fatal(err)
					}
					all := problemsOf(r.Value)
					if len(all) == 0 {
						all = []outcome{{n, ""}}
					}
					for _, o := range all {
						described[o] = true
						if o.status != n {
							t.Errorf("status %d is described with the problem %v", n, o)
						}
					}
				}
				if !maps.Equal(described, given) {
					t.Errorf("described: %v\ngiven: %v", sorted(described), sorted(given))
				}
			})
		}
	}
}

func TestDescription_CoversUnknownMethodsAndPaths(t *testing.T) {
	doc := description(t)
	for _, c := range []struct{ response, method, path string }{
		{"MethodNotAllowed", http.MethodHead, "/sessions/v1/k"},
		{"MethodNotAllowed", http.MethodOptions, "/sessions/v1/k"},
		{"MethodNotAllowed", http.MethodPost, "/healthz"},
		{"NoSuchResource", http.MethodGet, "/"},
		{"NoSuchResource", http.MethodPut, "/sessions/v1/a/b"},
	} {
		r := doc.Components.Responses[c.response]
		o := &openapi3.Operation{Responses: openapi3.NewResponses(openapi3.WithStatus(problemsOf(r.Value)[0].status, r))}
		situation{change: func(*http.Request) {}}.answer(t, doc, c.method, c.path, o)
	}
}

// situations returns the situations that together lead to every possible response of an operation.
func situations(method, path string) []situation {
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
	}
	all := []situation{
		{change: func(*http.Request) {}},
		{change: func(r *http.Request) { r.URL.RawQuery = "a=b" }},
	}
	canary := issue(testCA(), devca.Leaf{CommonName: "canary", Client: true}).Leaf
	withCanary := func(r *http.Request) {
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{canary}}}
	}
	if path == "/healthz" || path == "/readyz" {
		guarded, closed := setup{policy: healthOf(access.Alternative{Token: new(true)})}, setup{policy: healthOf()}
		all = append(all, situation{setup: guarded}, situation{setup: guarded, change: header("Authorization")},
			situation{setup: guarded, change: header("Authorization", "Basic dTpw")}, situation{setup: guarded, change: withCanary},
			situation{setup: closed}, situation{setup: guarded, change: func(r *http.Request) { header("Signature", "x")(r); r.Host = "elsewhere.example" }},
			situation{setup: setup{policy: guarded.policy, noAudit: errNoAudit}, change: header("Authorization")})
	}
	switch path {
	case "/healthz":
		return all
	case "/readyz":
		return append(all, situation{drain: true},
			situation{setup: setup{ready: func(context.Context) error { return store.ErrUnavailable }}})
	}
	all = append(all,
		situation{setup: setup{maxInFlight: -1}},
		situation{change: func(r *http.Request) { r.Host = "elsewhere.example" }},
		situation{change: header("Authorization")},
		situation{change: header("Authorization", "Bearer unknown")},
		situation{change: header("Authorization", "Basic dTpw")},
		situation{change: header("Authorization", "Bearer "+string(elsewhere))},
		situation{change: withCanary},
		situation{setup: setup{limits: access.Limits{RequestsPerSecond: 1}}, again: true},
		situation{setup: setup{noAudit: errNoAudit}, change: header("Authorization")},
	)
	if strings.HasPrefix(path, PasswordsPath) {
		return append(all, passwordSituations(method, path)...)
	}
	if path == "/metrics" || path == "/openapi" || path == rewrittenKeysPath {
		return append(all, situation{change: header("Authorization", "Bearer "+string(wiki))})
	}
	all = append(all,
		situation{change: header("Authorization", "Bearer "+string(enwiki))},
		situation{change: func(r *http.Request) { r.RequestURI = "/sessions/v1/" }},
		situation{change: func(r *http.Request) { r.RequestURI += strings.Repeat("k", MaxKeyBytes) }},
		situation{change: body(brokenBody{os.ErrDeadlineExceeded}, -1)},
		situation{change: body(brokenBody{io.ErrUnexpectedEOF}, -1)},
		situation{setup: setup{store: failing(errors.New("unknown"))}},
	)
	if method == http.MethodGet || method == http.MethodPatch {
		all = append(all, situation{setup: setup{limits: access.Limits{MissesPerMinute: 1}, store: failing(store.ErrNotFound)}, again: true})
	}
	if method == http.MethodPut || method == http.MethodPost {
		all = append(all, situation{change: body(http.NoBody, 0)}, situation{change: body(http.NoBody, testMaxValue+1)})
	}
	for _, err := range storeErrors[method] {
		all = append(all, situation{setup: setup{store: failing(err)}})
	}
	return all
}

// healthOf returns testRules with these alternatives for the health resources.
func healthOf(alternatives ...access.Alternative) func() *access.Policy {
	rules := testRules()
	rules.Audiences[access.Health] = alternatives
	p, err := access.NewPolicy(rules)
	if err != nil {
		panic(err)
	}
	return func() *access.Policy { return p }
}

func body(r io.ReadCloser, length int64) func(*http.Request) {
	return func(req *http.Request) { req.Body, req.ContentLength = r, length }
}

// brokenBody is a body that fails at the first read.
type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }

func (brokenBody) Close() error { return nil }

// answer sends the request and returns the outcome. It fails the test if the description of o does not match the
// response.
func (s situation) answer(t *testing.T, doc *openapi3.T, method, path string, o *openapi3.Operation) outcome {
	t.Helper()
	if s.store == nil {
		s.store = new(recorder).store() // every key has a value
	}
	a := newAPI(t, s.setup).api
	if s.drain {
		a.Drain()
	}
	r := httptest.NewRequest(method, strings.Replace(path, "{key}", "k", 1), nil)
	sendBody := func() {
		text := "value"
		if strings.HasPrefix(path, PasswordsPath) {
			text = passwordBody(method, path)
		}
		if text != "" {
			body(io.NopCloser(strings.NewReader(text)), int64(len(text)))(r)
		}
	}
	r.Header.Set("Authorization", "Bearer "+string(cmp.Or(map[string]access.Token{"/metrics": prom, "/openapi": docs, rewrittenKeysPath: ops}[path], wiki)))
	switch method {
	case http.MethodPut, http.MethodPost:
		sendBody()
	case http.MethodPatch:
		r.Header.Set("TTL", "60")
	}
	if s.change != nil {
		s.change(r)
	}
	if s.again {
		a.ServeHTTP(httptest.NewRecorder(), r.Clone(t.Context()))
		if method == http.MethodPut || method == http.MethodPost {
			sendBody()
		}
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)

	get := r.Clone(t.Context())
	get.Method = http.MethodGet // ValidateResponse ignores the response to a HEAD. The recorder keeps the body of one.
	err := openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: get, Route: &routers.Route{Spec: doc, Operation: o}},
		Status:                 w.Code,
		Header:                 w.Header(),
		Body:                   io.NopCloser(strings.NewReader(w.Body.String())),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		t.Errorf("%s %s: the response %d does not match the description: %v", method, path, w.Code, err)
	}
	if w.Header().Get("Content-Type") != problemType {
		return outcome{w.Code, ""}
	}
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return outcome{w.Code, p.Type}
}

func TestDescription_IsServed(t *testing.T) {
	s := start(t, setup{})
	got := s.must(t, s.client(t, protocols[1]), ask{method: "GET", path: "/openapi", header: as(docs)})
	if got.status != 200 || got.header.Get("Content-Type") != "application/yaml" || !bytes.Equal([]byte(got.body), Description) {
		t.Errorf("%d %v, %d bytes", got.status, got.header, len(got.body))
	}
}
