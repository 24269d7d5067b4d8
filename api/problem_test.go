package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"userinfo/access"
	"userinfo/passwords"
	"userinfo/store"
)

var urnUUID = regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// checkProblem checks that a response is a problem document (RFC 9457) with this name and the request's id. It returns the
// id.
func checkProblem(t testing.TB, got answer, status int, name string) (requestID string) {
	t.Helper()
	if got.status != status {
		t.Fatalf("status %d, body %s; want %d %s", got.status, got.body, status, name)
	}
	for header, want := range map[string]string{
		"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"Content-Length": strconv.Itoa(len(got.body)),
	} {
		if have := got.header.Get(header); have != want {
			t.Errorf("%s: %s %q; want %q", name, header, have, want)
		}
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(got.body), &members); err != nil {
		t.Fatalf("%s: %q is not JSON: %v", name, got.body, err)
	}
	if have := slices.Sorted(maps.Keys(members)); !slices.Equal(have, []string{"detail", "instance", "status", "title", "type"}) {
		t.Errorf("%s has the members %v", name, have)
	}
	if members["type"] != "urn:userinfo:problem:"+name || members["status"] != float64(status) || members["title"] == "" || members["detail"] == "" {
		t.Errorf("%d %s is %s", status, name, got.body)
	}
	instance, _ := members["instance"].(string)
	if requestID = got.header.Get("X-Request-Id"); !urnUUID.MatchString(instance) || instance != "urn:uuid:"+requestID {
		t.Errorf("%s: instance %q is not the URN of a random UUID, or not of the X-Request-Id %q", name, instance, requestID)
	}
	return requestID
}

// sentinels lists the errors of packages access, passwords and store, and the problem of each.
var sentinels = []struct {
	name       string
	err        error
	status     int
	problem    string
	retryAfter string
}{
	{"access.ErrMalformed", access.ErrMalformed, 400, "malformed-credentials", ""},
	{"access.ErrConflict", access.ErrConflict, 400, "conflicting-credentials", ""},
	{"access.ErrUnauthenticated", access.ErrUnauthenticated, 401, "unauthenticated", ""},
	{"access.ErrDenied", access.ErrDenied, 403, "forbidden", ""},
	{"access.ErrMisdirected", access.ErrMisdirected, 421, "misdirected-request", ""},
	{"passwords.ErrWrong", passwords.ErrWrong, 403, "wrong-password", ""},
	{"passwords.ErrTooManyGuesses", passwords.ErrTooManyGuesses, 429, "too-many-guesses", "1"},
	{"passwords.ErrWeak", passwords.ErrWeak, 422, "weak-password", ""},
	{"passwords.ErrPassword", passwords.ErrPassword, 400, "bad-request", ""},
	{"passwords.ErrHash", passwords.ErrHash, 400, "bad-request", ""},
	{"passwords.ErrExists", passwords.ErrExists, 412, "user-exists", ""},
	{"passwords.ErrDeleted", passwords.ErrDeleted, 412, "user-deleted", ""},
	{"passwords.ErrNotEverywhere", passwords.ErrNotEverywhere, 503, "not-everywhere", "5"},
	{"passwords.ErrBusy", passwords.ErrBusy, 503, "overloaded", "1"},
	{"store.ErrNotFound", store.ErrNotFound, 404, "not-found", ""},
	{"store.ErrDeleted", store.ErrDeleted, 409, "deleted", ""},
	{"store.ErrNotEverywhere", store.ErrNotEverywhere, 503, "not-everywhere", "5"},
	{"store.ErrSchemaDiffers", store.ErrSchemaDiffers, 503, "not-ready", "1"},
	{"store.ErrNotConnected", store.ErrNotConnected, 503, "not-ready", "1"},
	{"store.ErrNotReady", store.ErrNotReady, 503, "not-ready", "1"},
	{"store.ErrKey", store.ErrKey, 400, "bad-request", ""},
	{"store.ErrTTL", store.ErrTTL, 400, "bad-request", ""},
	{"store.ErrTooLarge", store.ErrTooLarge, 413, "value-too-large", ""},
	{"store.ErrOverloaded", store.ErrOverloaded, 503, "overloaded", "1"},
	{"store.ErrFull", store.ErrFull, 503, "full", "5"},
	{"store.ErrSealed", store.ErrSealed, 500, "internal", ""},
	{"store.ErrUnavailable", store.ErrUnavailable, 503, "unavailable", "1"},
}

// planted is a text that must not reach a client.
const planted = "enwiki:MWSession:planted-secret"

func TestProblemFor_StoreErrors(t *testing.T) {
	for _, test := range sentinels {
		for how, err := range map[string]error{
			"bare":    test.err,
			"wrapped": fmt.Errorf("reading %s: %w", planted, fmt.Errorf("again: %w", test.err)),
			"joined":  errors.Join(errors.New(planted), test.err),
		} {
			s := newAPI(t, setup{store: failing(err)})
			for method, header := range map[string]http.Header{"GET": as(wiki), "PUT": as(wiki), "POST": as(wiki), "PATCH": as(wiki, "TTL", "7"), "DELETE": as(wiki)} {
				got := s.serve(method, "/sessions/v1/k", header)
				checkProblem(t, got, test.status, test.problem)
				if got.header.Get("Retry-After") != test.retryAfter {
					t.Errorf("%s: Retry-After %q; want %q", test.name, got.header.Get("Retry-After"), test.retryAfter)
				}
				if strings.Contains(fmt.Sprint(got), "planted") {
					t.Errorf("%s, %s, %s: the client received %v", method, test.name, how, got)
				}
			}
		}
	}
}

func TestProblemFor_CoversEveryExportedError(t *testing.T) {
	var declared []string
	for _, pkg := range []string{"access", "passwords", "store"} {
		files, err := filepath.Glob("../" + pkg + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("no files of %s: %v", pkg, err)
		}
		for _, file := range files {
			declared = append(declared, exportedErrors(t, pkg, file)...)
		}
	}
	var tested []string
	for _, s := range sentinels {
		tested = append(tested, s.name)
	}
	slices.Sort(declared)
	slices.Sort(tested)
	if !slices.Equal(declared, tested) {
		t.Errorf("the packages declare %v; this test has %v", declared, tested)
	}
	if len(tested) != len(sharedProblems) {
		t.Errorf("sharedProblems has %d entries, this test has %d", len(sharedProblems), len(tested))
	}
}

// exportedErrors returns the names of a file's package-level variables that begin with Err.
func exportedErrors(t *testing.T, pkg, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if strings.HasPrefix(name.Name, "Err") {
					names = append(names, pkg+"."+name.Name)
				}
			}
		}
	}
	return names
}

func TestProblemFor_NotEverywhereBeforeUnavailable(t *testing.T) {
	s := newAPI(t, setup{store: failing(fmt.Errorf("%w: %w", store.ErrNotEverywhere, store.ErrUnavailable))})
	checkProblem(t, s.serve("DELETE", "/sessions/v1/k", as(wiki)), 503, "not-everywhere")
}

func TestProblemFor_UnknownErrorRevealsNothing(t *testing.T) {
	for _, err := range []error{errors.New(planted), fmt.Errorf("wrapped: %w", errors.New(planted)), errors.Join(errors.New(planted), errors.New("x"))} {
		s := newAPI(t, setup{store: failing(err)})
		got := s.serve("GET", "/sessions/v1/k", as(wiki))
		id := checkProblem(t, got, 500, "internal")
		if strings.Contains(fmt.Sprint(got), "planted") || strings.Contains(got.body, "wrapped") {
			t.Errorf("the client received %v", got)
		}
		if log := s.logs.String(); !strings.Contains(log, `"request_id":"`+id+`"`) || !strings.Contains(log, `"level":"ERROR"`) {
			t.Errorf("the log has no error under %s: %s", id, log)
		}
	}
}

func TestProblem_InstanceIsUnique(t *testing.T) {
	s := newAPI(t, setup{})
	seen := make(map[string]bool)
	for range 1000 {
		seen[checkProblem(t, s.serve("GET", "/sessions/v1/k", as(wiki)), 404, "not-found")] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d different instances in 1000 problems", len(seen))
	}
}

// noRandom is a source of randomness that always fails.
type noRandom struct{}

func (noRandom) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

func TestProblem_SentWithoutRandomness(t *testing.T) {
	s := newAPI(t, setup{random: noRandom{}})
	got := s.serve("GET", "/sessions/v1/k", as(wiki))
	if got.status != 404 || !strings.Contains(got.body, "urn:uuid:00000000-0000-0000-0000-000000000000") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if !strings.Contains(s.logs.String(), "no randomness") {
		t.Errorf("the log does not have the cause: %s", s.logs)
	}
}

func TestProblem_TextsAndRetryAfter(t *testing.T) {
	all := []problem{problemFor(errEmptyValue), problemFor(errIncompleteBody), errNoResource.problem, errMethodNotAllowed.problem, errKeyTooLong.problem,
		errSlowBody.problem, errOverloaded.problem, errAuditUnavailable.problem, errNotReady.problem, errStopping.problem, errInternal.problem,
		errTooManyInFlight.problem, errTooManyRequests.problem, errTooManySigned.problem, problemFor(missesError(7)),
		problemFor(tooLarge(5)), problemFor(badTTL(testMaxTTL))}
	for _, s := range sentinels {
		all = append(all, problemFor(s.err))
	}
	for _, p := range all {
		if !strings.HasPrefix(p.Type, problemBase) || strings.Count(p.Type, problemBase) != 1 || !strings.HasSuffix(p.Detail, ".") ||
			strings.HasSuffix(p.Title, ".") || p.Instance != "" {
			t.Errorf("%+v", p)
		}
		if (p.Status == 503 || p.Status == 429) != (p.retryAfter > 0) {
			t.Errorf("%s: status %d, Retry-After %d; want one for the statuses 429 and 503, and for no other", p.Type, p.Status, p.retryAfter)
		}
	}
}
