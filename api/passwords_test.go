package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/passwords"
	"userinfo/store"
)

// passwordCall is one call of a passwords.Store.
type passwordCall struct {
	method              string
	user                access.Key
	guess               passwords.Guess
	replacement         passwords.Secret
	callerErr, deadline bool // the Caller is not good for this call; the context has a deadline
}

// passwordRecorder is a passwords.Store that records its calls and returns err, or succeeds.
type passwordRecorder struct {
	err   error
	mu    sync.Mutex
	calls []passwordCall
}

func (r *passwordRecorder) record(ctx context.Context, method string, action access.Action, caller access.Caller, user access.Key, g passwords.Guess, replacement passwords.Secret) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, deadline := ctx.Deadline()
	callerErr := caller.Check(access.GrantOn(access.Passwords, action), user) != nil
	r.calls = append(r.calls, passwordCall{method, user, g, replacement, callerErr, deadline})
	return r.err
}

func (r *passwordRecorder) take() []passwordCall {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.calls
	r.calls = nil
	return taken
}

func (r *passwordRecorder) Verify(ctx context.Context, caller access.Caller, user access.Key, g passwords.Guess) error {
	return r.record(ctx, "verify", access.Verify, caller, user, g, "")
}

func (r *passwordRecorder) Change(ctx context.Context, caller access.Caller, user access.Key, g passwords.Guess, replacement passwords.Secret) error {
	return r.record(ctx, "change", access.Change, caller, user, g, replacement)
}

func (r *passwordRecorder) ChangeWithToken(ctx context.Context, caller access.Caller, user access.Key, g passwords.Guess, replacement passwords.Secret) error {
	return r.record(ctx, "token", access.Change, caller, user, g, replacement)
}

func (r *passwordRecorder) NewResetToken(ctx context.Context, caller access.Caller, user access.Key) (passwords.Secret, time.Duration, error) {
	return "the-token", time.Hour, r.record(ctx, "reset", access.Reset, caller, user, passwords.Guess{}, "")
}

func (r *passwordRecorder) Create(ctx context.Context, caller access.Caller, user access.Key, password passwords.Secret) error {
	return r.record(ctx, "create", access.Create, caller, user, passwords.Guess{}, password)
}

func (r *passwordRecorder) Import(ctx context.Context, caller access.Caller, user access.Key, hash passwords.Secret) error {
	return r.record(ctx, "import", access.Import, caller, user, passwords.Guess{}, hash)
}

func (r *passwordRecorder) Delete(ctx context.Context, caller access.Caller, user access.Key) error {
	return r.record(ctx, "delete", access.Delete, caller, user, passwords.Guess{}, "")
}

// passwordAsk is a request about a password.
type passwordAsk struct {
	method, path, body string
	create             bool // with If-None-Match: *
}

// send sends a request about a password as a client.
func (s *service) send(a passwordAsk, as http.Header) answer {
	if a.create {
		as.Set("If-None-Match", "*")
	}
	return s.serveBody(a.method, a.path, a.body, as)
}

const aUser = "/passwords/v1/enwiki%3AAlice"

// goodPasswordAsks are requests that succeed, with the call that they make and the status.
var goodPasswordAsks = []struct {
	passwordAsk
	call, secret, address, replacement string
	status                             int
}{
	{passwordAsk{"POST", aUser + "/verify", `{"password":"hunter2"}`, false}, "verify", "hunter2", "192.0.2.1", "", 204},
	{passwordAsk{"POST", aUser + "/verify", ` { "address" : "2001:db8::7", "password":"h\u00fcnter2" } `, false}, "verify", "hünter2", "2001:db8::7", "", 204},
	{passwordAsk{"POST", aUser + "/verify", `{"password":"\\ud83d \ud83d\ude00 \ufffd"}`, false}, "verify", `\ud83d 😀 ` + "\ufffd", "192.0.2.1", "", 204},
	{passwordAsk{"PUT", aUser, `{"password":"new","current":"hunter2","address":"198.51.100.7"}`, false}, "change", "hunter2", "198.51.100.7", "new", 204},
	{passwordAsk{"PUT", aUser, `{"password":"new","token":"hunter2"}`, false}, "token", "hunter2", "192.0.2.1", "new", 204},
	{passwordAsk{"PUT", aUser, `{"password":"new"}`, true}, "create", "", "", "new", 201},
	{passwordAsk{"PUT", aUser, `{"hash":":A:5f4dcc3b5aa765d61d8327deb882cf99"}`, false}, "import", "", "", ":A:5f4dcc3b5aa765d61d8327deb882cf99", 204},
	{passwordAsk{"PUT", aUser, `{"hash":""}`, false}, "import", "", "", "", 204},
	{passwordAsk{"POST", aUser + "/reset-token", "", false}, "reset", "", "", "", 201},
	{passwordAsk{"DELETE", aUser, "", false}, "delete", "", "", "", 204},
}

func TestPasswords_CallTheStore(t *testing.T) {
	for _, ask := range goodPasswordAsks {
		r := new(passwordRecorder)
		s := newAPI(t, setup{passwords: r})
		got := s.send(ask.passwordAsk, as(wiki))
		if got.status != ask.status || got.header.Get("Cache-Control") != "no-store" || ask.call != "reset" && got.body != "" {
			t.Errorf("%s %s: %d %v %q, want %d", ask.method, ask.body, got.status, got.header, got.body, ask.status)
		}
		calls := r.take()
		if len(calls) != 1 {
			t.Fatalf("%s %s: %d calls", ask.method, ask.body, len(calls))
		}
		c := calls[0]
		if c.method != ask.call || c.user != "enwiki:Alice" || string(c.guess.Secret) != ask.secret || string(c.replacement) != ask.replacement || c.callerErr || !c.deadline {
			t.Errorf("%s %s: call %s with %q and %q; Caller wrong: %v, deadline: %v", ask.method, ask.body, c.method, string(c.guess.Secret), string(c.replacement), c.callerErr, c.deadline)
		}
		if ask.address != "" && c.guess.Address.String() != ask.address {
			t.Errorf("%s %s: address %v, want %s", ask.method, ask.body, c.guess.Address, ask.address)
		}
	}
}

func TestPasswords_ResetTokenIsJSON(t *testing.T) {
	s := newAPI(t, setup{})
	got := s.send(passwordAsk{method: "POST", path: aUser + "/reset-token"}, as(wiki))
	var body struct {
		Token string
		TTL   int
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || body.Token != "the-token" || body.TTL != 3600 || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s (%v)", got.status, got.header, got.body, err)
	}
}

func TestPasswords_RefuseOtherBodies(t *testing.T) {
	r := new(passwordRecorder)
	s := newAPI(t, setup{passwords: r})
	for _, ask := range []passwordAsk{
		{"POST", aUser + "/verify", ``, false},
		{"POST", aUser + "/verify", `hunter2`, false},
		{"POST", aUser + "/verify", `"hunter2"`, false},
		{"POST", aUser + "/verify", `["password","hunter2"]`, false},
		{"POST", aUser + "/verify", `{}`, false},
		{"POST", aUser + "/verify", `{"password":7}`, false},
		{"POST", aUser + "/verify", `{"password":null}`, false},
		{"POST", aUser + "/verify", `{"password":{"password":"hunter2"}}`, false},
		{"POST", aUser + "/verify", `{"Password":"hunter2"}`, false},
		{"POST", aUser + "/verify", `{"password":"hunter2","passwort":"hunter2"}`, false},
		{"POST", aUser + "/verify", `{"password":"hunter2","password":"hunter3"}`, false},
		{"POST", aUser + "/verify", `{"password":"hunter2","p\u0061ssword":"hunter3"}`, false},
		{"POST", aUser + "/verify", `{"password":"hunter2"} {}`, false},
		{"POST", aUser + "/verify", `{"password":"hunter2"}x`, false},
		{"POST", aUser + "/verify", `{"password":"hunter2"`, false},
		{"POST", aUser + "/verify", `{"password":"hunter2",}`, false},
		{"POST", aUser + "/verify", "{\"password\":\"hunter\xff\"}", false},
		{"POST", aUser + "/verify", `{"password":"\ud800"}`, false},
		{"POST", aUser + "/verify", `{"password":"\udc00"}`, false},
		{"POST", aUser + "/verify", `{"password":"\udc00\ud800"}`, false},
		{"POST", aUser + "/verify", `{"password":"\ud83d\\ude00"}`, false},
		{"PUT", aUser, `{"password":"hunter\ud800","current":"\ufffd"}`, false},
		{"POST", aUser + "/verify", `{"password":"hunter2","address":"elsewhere"}`, false},
		{"POST", aUser + "/verify", `{"password":"hunter2","current":"hunter2"}`, false},
		{"PUT", aUser, `{"password":"new"}`, false},
		{"PUT", aUser, `{"password":"new","current":"old"}`, true},
		{"PUT", aUser, `{"password":"new","current":"old","token":"t"}`, false},
		{"PUT", aUser, `{"password":"new","hash":"h"}`, false},
		{"PUT", aUser, `{"hash":"h"}`, true},
		{"PUT", aUser, `{"hash":"h","address":"192.0.2.1"}`, false},
		{"PUT", aUser, `{"password":"new","address":"192.0.2.1"}`, true},
		{"PUT", aUser, `{"current":"old"}`, false},
		{"POST", aUser + "/reset-token", `{}`, false},
		{"DELETE", aUser, `{}`, false},
	} {
		got := s.send(ask, as(wiki))
		checkProblem(t, got, 400, "bad-request")
		if strings.Contains(got.body, "hunter") {
			t.Errorf("%s: the problem repeats the body: %s", ask.body, got.body)
		}
	}
	for _, header := range []string{"", `"etag"`, "* ", "*, *"} {
		h := as(wiki)
		h.Set("If-None-Match", header)
		checkProblem(t, s.serveBody("PUT", aUser, `{"password":"new"}`, h), 400, "bad-request")
	}
	checkProblem(t, s.send(passwordAsk{"POST", aUser + "/verify", `{"password":"` + strings.Repeat("p", maxPasswordBody) + `"}`, false}, as(wiki)), 413, "value-too-large")
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("%d requests reached the store", len(calls))
	}
}

// TestPasswords_BodyHoldsLongestPasswords sends two passwords of 4,096 bytes, escaped as PHP does it.
func TestPasswords_BodyHoldsLongestPasswords(t *testing.T) {
	r := new(passwordRecorder)
	s := newAPI(t, setup{passwords: r})
	longest := strings.Repeat(`\u00fc`, 2048)
	got := s.send(passwordAsk{"PUT", aUser, `{"password":"` + longest + `","current":"` + longest + `"}`, false}, as(wiki))
	if calls := r.take(); got.status != 204 || len(calls) != 1 || len(calls[0].replacement) != 4096 || len(calls[0].guess.Secret) != 4096 {
		t.Errorf("%d %s, %d calls", got.status, got.body, len(calls))
	}
}

// TestPasswords_UnreadableRowIsUnavailable checks that no answer says that there is a row.
func TestPasswords_UnreadableRowIsUnavailable(t *testing.T) {
	s := newAPI(t, setup{passwords: &passwordRecorder{err: fmt.Errorf("reading a user: %w", store.ErrSealed)}})
	for _, ask := range goodPasswordAsks {
		got := s.send(ask.passwordAsk, as(wiki))
		checkProblem(t, got, 503, "unavailable")
		if strings.Contains(got.body, "value under this key") {
			t.Errorf("%s %s: the problem says that there is a row: %s", ask.method, ask.body, got.body)
		}
	}
}

func TestPasswords_NeedTheirGrants(t *testing.T) {
	r := new(passwordRecorder)
	s := newAPI(t, setup{passwords: r})
	for _, ask := range goodPasswordAsks {
		checkProblem(t, s.send(ask.passwordAsk, as(reader)), 403, "forbidden") // has sessions:get only
		other := ask.passwordAsk
		other.path = strings.Replace(other.path, "enwiki", "dewiki", 1)
		checkProblem(t, s.send(other, as(enwiki)), 403, "forbidden") // may use enwiki:* only
		checkProblem(t, s.send(ask.passwordAsk, http.Header{}), 401, "unauthenticated")
	}
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("%d requests reached the store", len(calls))
	}
}

func TestPasswords_WrongPasswordsDifferInIdsOnly(t *testing.T) {
	s := newAPI(t, setup{passwords: &passwordRecorder{err: passwords.ErrWrong}})
	bodies := make(map[string]bool)
	for _, user := range []string{"enwiki%3AAlice", "enwiki%3ANobody"} {
		got := s.send(passwordAsk{"POST", "/passwords/v1/" + user + "/verify", `{"password":"hunter2"}`, false}, as(wiki))
		id := checkProblem(t, got, 403, "wrong-password")
		got.header.Del("X-Request-Id")
		bodies[strings.ReplaceAll(got.body, id, "")+fmt.Sprint(got.header)] = true
	}
	if len(bodies) != 1 {
		t.Errorf("the responses differ: %v", bodies)
	}
}

func TestPasswords_TellTimeAndRule(t *testing.T) {
	s := newAPI(t, setup{passwords: &passwordRecorder{err: &passwords.GuessError{RetryAfter: 1500 * time.Millisecond}}})
	got := s.send(passwordAsk{"POST", aUser + "/verify", `{"password":"hunter2"}`, false}, as(wiki))
	checkProblem(t, got, 429, "too-many-guesses")
	if got.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q, want 2", got.header.Get("Retry-After"))
	}
	s = newAPI(t, setup{passwords: &passwordRecorder{err: &passwords.WeakError{Rule: "a password has at least 8 characters"}}})
	got = s.send(passwordAsk{"PUT", aUser, `{"password":"new","current":"old"}`, false}, as(wiki))
	checkProblem(t, got, 422, "weak-password")
	if !strings.Contains(got.body, "a password has at least 8 characters") {
		t.Errorf("the problem does not have the rule: %s", got.body)
	}
}

// TestPasswords_LeaveAuditRecords checks that every request that is allowed leaves a record, whatever comes of it.
func TestPasswords_LeaveAuditRecords(t *testing.T) {
	key, err := access.NewAuditKey(strings.NewReader(strings.Repeat("k", 64)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err              error
		decision, reason string
	}{
		{nil, "allowed", ""}, {passwords.ErrWrong, "denied", "wrong password"}, {&passwords.GuessError{RetryAfter: time.Second}, "limited", "too many wrong passwords"},
		{store.ErrUnavailable, "allowed", ""},
	} {
		for _, ask := range goodPasswordAsks {
			s := newAPI(t, setup{passwords: &passwordRecorder{err: c.err}, auditKey: key})
			s.send(ask.passwordAsk, as(wiki))
			var record struct{ Decision, Reason, Client, Route, Key string }
			text := s.audit.String()
			if err := json.Unmarshal([]byte(text), &record); err != nil {
				t.Fatalf("%s %s, %v: record %q: %v", ask.method, ask.body, c.err, text, err)
			}
			if record.Decision != c.decision || !strings.Contains(record.Reason, c.reason) || record.Client != "wiki" || record.Key != key.Hash("enwiki:Alice") || !strings.HasPrefix(record.Route, PasswordsPath) {
				t.Errorf("%s %s, %v: record %s", ask.method, ask.body, c.err, text)
			}
			if strings.Contains(text, "Alice") || strings.Contains(text, "hunter") || strings.Contains(s.logs.String(), "hunter") || strings.Contains(s.logs.String(), "Alice") {
				t.Errorf("%s %s: a record or log line has the user or the password: %s", ask.method, ask.body, text)
			}
			if n := s.audit.reserved.Load(); n != 0 {
				t.Errorf("%s %s: %d reservations are open", ask.method, ask.body, n)
			}
		}
	}
}

func TestPasswords_AreNotBegunWithoutAuditRecord(t *testing.T) {
	r := new(passwordRecorder)
	s := newAPI(t, setup{passwords: r, noAudit: errNoAudit})
	for _, ask := range goodPasswordAsks {
		checkProblem(t, s.send(ask.passwordAsk, as(wiki)), 503, "audit-unavailable")
	}
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("%d requests reached the store", len(calls))
	}
}

// TestPasswords_WrongPasswordIsNoMiss checks that users who mistype their passwords do not use up the misses of their wiki.
func TestPasswords_WrongPasswordIsNoMiss(t *testing.T) {
	s := newAPI(t, setup{passwords: &passwordRecorder{err: passwords.ErrWrong}, limits: access.Limits{MissesPerMinute: 1}})
	for range 5 {
		checkProblem(t, s.send(passwordAsk{"POST", aUser + "/verify", `{"password":"hunter2"}`, false}, as(wiki)), 403, "wrong-password")
	}
	checkProblem(t, s.serve("GET", "/sessions/v1/k", as(wiki)), 404, "not-found")
}

func TestPasswords_DoNotExistUnlessConfigured(t *testing.T) {
	s := newAPI(t, setup{})
	s.api.config.Passwords = nil
	s.api.router = s.api.newRouter()
	for _, ask := range goodPasswordAsks {
		checkProblem(t, s.send(ask.passwordAsk, as(wiki)), 404, "no-such-resource")
	}
}

// passwordSituations returns the situations that together lead to every possible response of an operation on passwords.
func passwordSituations(method, path string) []situation {
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
	}
	failing := func(err error) situation { return situation{setup: setup{passwords: &passwordRecorder{err: err}}} }
	all := []situation{
		{change: header("Authorization", "Bearer "+string(enwiki))},
		{change: func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "/k", "/", 1) }},
		{change: func(r *http.Request) {
			r.RequestURI = strings.Replace(r.RequestURI, "/k", "/"+strings.Repeat("k", MaxKeyBytes+1), 1)
		}},
		{change: body(brokenBody{os.ErrDeadlineExceeded}, -1)},
		{change: body(brokenBody{io.ErrUnexpectedEOF}, -1)},
		failing(errors.New("unknown")), failing(store.ErrSealed), failing(store.ErrUnavailable), failing(store.ErrNotReady),
	}
	for _, err := range passwordErrors[method+" "+path] {
		all = append(all, failing(err))
	}
	if method == http.MethodPut {
		all = append(all, situation{change: func(r *http.Request) {
			header("If-None-Match", "*")(r)
			body(io.NopCloser(strings.NewReader(`{"password":"new"}`)), 18)(r)
		}})
	}
	if method == http.MethodPut || strings.HasSuffix(path, "/verify") {
		all = append(all, situation{change: body(http.NoBody, 0)}, situation{change: body(http.NoBody, maxPasswordBody+1)})
	}
	return all
}

// passwordErrors lists the errors that passwords.Store may return for each operation, in addition to those of all.
var passwordErrors = map[string][]error{
	"POST /passwords/v1/{key}/verify": {passwords.ErrWrong, passwords.ErrTooManyGuesses, passwords.ErrPassword, passwords.ErrBusy},
	"PUT /passwords/v1/{key}": {passwords.ErrWrong, passwords.ErrTooManyGuesses, passwords.ErrPassword, passwords.ErrBusy, passwords.ErrWeak,
		passwords.ErrHash, passwords.ErrExists, passwords.ErrDeleted, passwords.ErrNotEverywhere, store.ErrFull},
	"POST /passwords/v1/{key}/reset-token": {store.ErrFull},
	"DELETE /passwords/v1/{key}":           {passwords.ErrNotEverywhere, store.ErrFull},
}

// passwordBody is a good body for an operation on passwords.
func passwordBody(method, path string) string {
	return cmp.Or(map[string]string{"PUT": `{"password":"new","current":"old"}`}[method], map[bool]string{true: `{"password":"p"}`}[strings.HasSuffix(path, "/verify")])
}
