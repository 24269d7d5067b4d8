//go:build integration

package mediawiki_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"userinfo/internal/e2e/mediawiki"
)

// unavailable is the code of the message that the service is not available.
const unavailable = "userinfo-password-unavailable"

// TestPasswords_OnWiki is what people and operators do with a wiki whose passwords are in the service, on both versions.
func TestPasswords_OnWiki(t *testing.T) {
	for _, v := range mediawiki.Versions {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			w := startPasswordWiki(t, v)
			w.usePasswords(t)
			t.Run("create an account", func(t *testing.T) { testCreateAccount(t, w) })
			t.Run("create an account for somebody else", func(t *testing.T) { testCreateByMail(t, w) })
			t.Run("log in", func(t *testing.T) { testPasswordLogIn(t, w) })
			t.Run("certificate and signature", func(t *testing.T) { testPasswordCredentials(t, w) })
			t.Run("too many guesses", func(t *testing.T) { testTooManyGuesses(t, w) })
			t.Run("service that does not answer", func(t *testing.T) { testServiceFailures(t, w) })
			t.Run("change", func(t *testing.T) { testChangePassword(t, w) })
			t.Run("change that fails", func(t *testing.T) { testFailedChange(t, w) })
			t.Run("reset code", func(t *testing.T) { testResetCode(t, w) })
			t.Run("password that must be changed", func(t *testing.T) { testForcedChange(t, w) })
			t.Run("maintenance scripts", func(t *testing.T) { testPasswordScripts(t, w) })
			t.Run("renamed users", func(t *testing.T) { testRenamedUsers(t, w) })
			t.Run("system users", func(t *testing.T) { testSystemUsers(t, w) })
			t.Run("logs have no secret", w.checkLogs)
		})
	}
}

func testCreateAccount(t *testing.T, w *passwordWiki) {
	w.take(t)
	b := newBrowser(t, w.wiki)
	form := hiddenFields(b.get("Special:CreateAccount"))
	for name, value := range map[string]string{
		"wpName": "Alice", "wpPassword": "alice's first password", "retype": "alice's first password", "wpCreateaccount": "1",
	} {
		form.Set(name, value)
	}
	page := b.post("Special:CreateAccount", form)
	b.expectUser("Alice")
	if t.Failed() {
		t.Fatalf("the page:\n%s", content(page))
	}
	if got := w.takePasswords(t); !slices.Equal(got, []string{"PUT  Created"}) {
		t.Errorf("requests %q", got)
	}
	if n := w.sql(t, "SELECT user_password FROM user WHERE user_name = 'Alice'"); fmt.Sprint(n) != "[[]]" {
		t.Errorf("the database has a password of Alice")
	}
	w.mustLogIn(t, "Alice", "alice's first password")

	create := func(name, pw string) apiResult {
		b := newBrowser(t, w.wiki)
		w.secrets[pw] = true
		return b.api("action", "createaccount", "username", name, "password", pw, "retype", pw,
			"createtoken", b.token("createaccount"), "createreturnurl", b.wiki.String())
	}
	if r := create("Bob", "bob's first password"); r.CreateAccount.Status != "PASS" {
		t.Errorf("%+v", r)
	}
	w.mustLogIn(t, "Bob", "bob's first password")
	// The service decides about names. A repeated creation with the same password succeeds: an answer may have got lost.
	w.put(t, "Orphan", `{"password":"orphan's password"}`)
	if r := create("Orphan", "another password"); r.CreateAccount.MessageCode != "userinfo-password-exists" {
		t.Errorf("%+v", r)
	}
	if len(w.sql(t, "SELECT user_id FROM user WHERE user_name = 'Orphan'")) != 0 {
		t.Error("the wiki has a user whom the service has refused")
	}
	if r := create("Orphan", "orphan's password"); r.CreateAccount.Status != "PASS" {
		t.Errorf("%+v", r)
	}
	w.answerPasswords(t, http.MethodPut, "503-unavailable")
	if r := create("Carol", "carol's first password"); r.CreateAccount.MessageCode != unavailable {
		t.Errorf("%+v", r)
	}
	if len(w.sql(t, "SELECT user_id FROM user WHERE user_name = 'Carol'")) != 0 {
		t.Error("the wiki has a user whom the service does not know")
	}
}

// put makes a user in the service, without the wiki.
func (w *passwordWiki) put(t *testing.T, name, body string) {
	t.Helper()
	w.request(t, http.MethodPut, name, body, http.StatusCreated)
}

// request sends a request about a user to the service, without the wiki.
func (w *passwordWiki) request(t *testing.T, method, name, body string, want int) {
	t.Helper()
	address := strings.TrimSuffix(w.store.target, "/sessions/v1") + "/passwords/v1/" + url.PathEscape("enwiki:"+name)
	q, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPut {
		q.Header.Set("If-None-Match", "*")
	}
	token, err := os.ReadFile(w.files + "/token")
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := w.store.proxy.Transport.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != want {
		t.Fatalf("%s of %s: the service answers %s, want %d", method, name, response.Status, want)
	}
}

func testCreateByMail(t *testing.T, w *passwordWiki) {
	b := w.mustLogIn(t, "Alice", "alice's first password")
	w.take(t)
	r := b.api("action", "createaccount", "username", "Dora", "email", "dora@example.org", "realname", "", "mailpassword", "1",
		"createtoken", b.token("createaccount"), "createreturnurl", b.wiki.String())
	if r.CreateAccount.Status != "PASS" {
		t.Fatalf("%+v", r)
	}
	if got := w.takePasswords(t); !slices.Equal(got, []string{"PUT  Created"}) {
		t.Errorf("requests %q: a web server must not make reset tokens", got)
	}
	code := w.takeCode(t, "dora@example.org")
	dora := newBrowser(t, w.wiki)
	if status, message := dora.logIn(w, "Dora", code); status != "UI" || message != "userinfo-reset-choose" {
		t.Fatalf("%s %s", status, message)
	}
	dora.expectUser("")
	if status, message := dora.continueLogIn(w, "dora's first password"); status != "PASS" {
		t.Fatalf("%s %s", status, message)
	}
	dora.expectUser("Dora")
	w.mustLogIn(t, "Dora", "dora's first password")
}

func testPasswordLogIn(t *testing.T, w *passwordWiki) {
	w.take(t)
	w.mustLogIn(t, "Alice", "alice's first password")
	if got := w.takePasswords(t); !slices.Equal(got, []string{"POST verify No Content"}) {
		t.Errorf("requests %q", got)
	}
	fixed := newBrowser(t, w.wiki)
	fixed.token("login")
	before := fixed.sessionID()
	if status, message := fixed.logIn(w, "Alice", "alice's first password"); status != "PASS" || before == "" || fixed.sessionID() == before {
		t.Errorf("%s %s, or the session that was there before the login goes on", status, message)
	}
	w.take(t)
	w.expectRefusal(t, "Alice", "not alice's password", "wrongpassword")
	w.expectRefusal(t, "Nobody", "not nobody's password", "wrongpassword")
	if got := w.takePasswords(t); !slices.Equal(got, []string{"POST verify Forbidden", "POST verify Forbidden"}) {
		t.Errorf("requests %q: a user who does not exist must cost the same", got)
	}
	w.expectRefusal(t, "Alice", strings.Repeat("long ", 820), "passwordtoolong")
	w.expectRefusal(t, "Alice", "alice"+strings.Repeat("\u0301", 40), "userinfo-password-unusable") // too many combining characters
	// Somebody whom only the service knows is not made a user of the wiki.
	w.put(t, "Stranger", `{"password":"stranger's password"}`)
	w.expectRefusal(t, "Stranger", "stranger's password", "wrongpassword")
	b := newBrowser(t, w.wiki)
	page := b.logInOnPage("Alice", "not alice's password")
	if !strings.Contains(page, "Incorrect username or password entered") {
		t.Errorf("the page does not say that the password is wrong:\n%s", content(page))
	}
	for _, name := range []string{"Nobody", "Stranger"} {
		if other := newBrowser(t, w.wiki).logInOnPage(name, "not alice's password"); content(other) != content(page) {
			t.Errorf("the page tells whether a user exists:\n%s\n%s", content(page), content(other))
		}
	}
	b.logInOnPage("Alice", "alice's first password")
	b.expectUser("Alice")
}

// testPasswordCredentials asks the service without the recorder, so that it sees the client's own certificate and signature.
func testPasswordCredentials(t *testing.T, w *passwordWiki) {
	defer w.usePasswords(t)
	direct := []any{"url", strings.TrimSuffix(w.store.target, "/sessions/v1") + "/passwords/v1/", "caBundlePath", w.files + "/ca.crt", "tokenFile", nil}
	certificate := []any{"certFile", w.files + "/client.crt", "keyFile", w.files + "/client.key"}
	signature := []any{"signatureKeyFile", w.files + "/signature.key", "signatureKeyId", "dev"}
	w.usePasswords(t, direct...)
	w.expectRefusal(t, "Alice", "alice's first password", unavailable)
	for _, credentials := range [][]any{certificate, signature, slices.Concat(certificate, signature)} {
		w.usePasswords(t, slices.Concat(direct, credentials)...)
		b := w.mustLogIn(t, "Alice", "alice's first password")
		if r := b.change(w, "alice's first password", "alice's first password"); r.ChangeAuthenticationData.Status != "success" {
			t.Errorf("%+v", r)
		}
	}
}

// logInOnPage fills in the form of the login and returns the page after it.
func (b *browser) logInOnPage(name, pw string) string {
	b.t.Helper()
	form := hiddenFields(b.get("Special:UserLogin"))
	form.Set("wpName", name)
	form.Set("wpPassword", pw)
	form.Set("wploginattempt", "Log in")
	return b.post("Special:UserLogin", form)
}

// maxGuesses is more than the free guesses of one user from one address, and so many that the wait is longer than a guess.
const maxGuesses = 25

var waitText = regexp.MustCompile(`Please wait (\d+ (hour|minute|second)s?( and )?)+ before trying again`)

func testTooManyGuesses(t *testing.T, w *passwordWiki) {
	w.newUser(t, "Guessed", "the right password")
	address := newBrowser(t, w.wiki).header
	for n := range maxGuesses {
		b := newBrowser(t, w.wiki)
		b.header = address
		page := b.logInOnPage("Guessed", "a wrong password")
		if waitText.MatchString(page) {
			if n < 5 {
				t.Errorf("only %d guesses are free", n)
			}
			w.mustLogIn(t, "Guessed", "the right password") // from another address
			return
		}
		if !strings.Contains(page, "Incorrect username or password entered") {
			t.Fatalf("the page does not say what is wrong:\n%s", content(page))
		}
	}
	t.Errorf("%d wrong passwords were compared", maxGuesses)
}

func testServiceFailures(t *testing.T, w *passwordWiki) {
	for _, answer := range []string{
		"503-unavailable", "503-overloaded", "403-forbidden", "401-unauthenticated", "429-too-many-requests", "500-internal", "404-not-found",
		"200", "201", "502",
	} {
		t.Run(answer, func(t *testing.T) {
			w.answerPasswords(t, http.MethodPost, answer)
			w.expectRefusal(t, "Alice", "alice's first password", unavailable)
			page := newBrowser(t, w.wiki).logInOnPage("Alice", "alice's first password")
			if !strings.Contains(page, "the password service is not available") || strings.Contains(page, "Incorrect") {
				t.Errorf("the page does not say what is wrong:\n%s", content(page))
			}
		})
	}
	t.Run("no connection", func(t *testing.T) {
		target := w.config.Passwords["url"]
		defer w.usePasswords(t)
		w.usePasswords(t, "url", "https://"+freeAddress(t)+"/passwords/v1/")
		w.expectRefusal(t, "Alice", "alice's first password", unavailable)
		w.usePasswords(t, "url", []any{w.config.Passwords["url"], target})
		w.mustLogIn(t, "Alice", "alice's first password")
	})
}
