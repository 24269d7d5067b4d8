//go:build integration

package mediawiki_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// change changes the password by the API, and waits until the request has ended: MediaWiki goes on after the response.
func (b *browser) change(w *passwordWiki, current, pw string) apiResult {
	b.t.Helper()
	w.secrets[pw] = true
	defer w.settle(b.t)
	return b.api("action", "changeauthenticationdata", "changeauthrequest", `MediaWiki\Auth\PasswordAuthenticationRequest`,
		"current", current, "password", pw, "retype", pw, "changeauthtoken", b.token("csrf"))
}

var (
	currentField = regexp.MustCompile(`name=["']current["']`)
	retypeField  = regexp.MustCompile(`name=["']retype["']`)
)

// changeOnPage fills in the form of Special:ChangePassword and returns the page after it.
func (b *browser) changeOnPage(current, pw string, more ...string) string {
	b.t.Helper()
	const page = `Special:ChangeCredentials/MediaWiki\Auth\PasswordAuthenticationRequest`
	first := b.get("Special:ChangePassword", more...)
	if !currentField.MatchString(first) {
		b.t.Fatalf("the page does not ask for the current password:\n%s", content(first))
	}
	form := hiddenFields(first)
	form.Set("current", current)
	form.Set("password", pw)
	form.Set("retype", pw)
	return b.post(page, form)
}

func testChangePassword(t *testing.T, w *passwordWiki) {
	b := w.mustLogIn(t, "Alice", "alice's first password")
	other := w.mustLogIn(t, "Alice", "alice's first password")
	if page := b.changeOnPage("not alice's password", "alice's second password"); !strings.Contains(page, "The old password is wrong") {
		t.Errorf("the page does not say that the old password is wrong:\n%s", content(page))
	}
	w.mustLogIn(t, "Alice", "alice's first password")
	page := b.changeOnPage("alice's first password", "alice's second password")
	if !strings.Contains(page, "Your credentials have been changed") || strings.Contains(page, "mw-userinfo-password") {
		t.Errorf("the page after the change:\n%s", content(page))
	}
	w.secrets["alice's second password"] = true
	w.settle(t)
	b.expectUser("Alice")
	other.expectUser("") // a change ends the other sessions
	w.expectRefusal(t, "Alice", "alice's first password", "wrongpassword")
	w.mustLogIn(t, "Alice", "alice's second password")

	if r := b.change(w, "alice's first password", "alice's third password"); r.Error.Code != "userinfo-current-wrong" {
		t.Errorf("%+v", r)
	}
	if r := b.change(w, "alice's second password", "1234567"); r.Error.Code == "" {
		t.Errorf("a short password is allowed: %+v", r)
	}
	if r := b.change(w, "alice's second password", "alice's third password"); r.ChangeAuthenticationData.Status != "success" || len(r.Warnings) != 0 {
		t.Errorf("%+v", r)
	}
	w.mustLogIn(t, "Alice", "alice's third password")
	b.expectUser("Alice") // its last change was by the API
	other = w.mustLogIn(t, "Alice", "alice's third password")
	if r := b.change(w, "alice's third password", "alice's third password"); r.ChangeAuthenticationData.Status != "success" {
		t.Errorf("%+v", r)
	}
	b.expectUser("Alice")
	other.expectUser("")
	code := "reset-" + strings.Repeat("0", 40) // nobody could log in with it
	if r := b.change(w, "alice's third password", code); r.Error.Code != "userinfo-password-is-code" {
		t.Errorf("%+v", r)
	}
}

func testFailedChange(t *testing.T, w *passwordWiki) {
	b := w.mustLogIn(t, "Alice", "alice's third password")
	for answer, want := range map[string]string{
		"503-overloaded": unavailable, "503-unavailable": "userinfo-password-unknown",
		"422-weak-password": "userinfo-password-weak", "403-wrong-password": "wrongpassword",
	} {
		w.answerPasswords(t, http.MethodPut, answer)
		if r := b.change(w, "alice's third password", "alice's fourth password"); r.Error.Code != want {
			t.Errorf("%s: %+v, want %s", answer, r, want)
		}
		if page := b.changeOnPage("alice's third password", "alice's fourth password"); !strings.Contains(page, "The password was not changed") {
			t.Errorf("%s: the page:\n%s", answer, content(page))
		}
	}
	w.store.setIntercept(nil)
	w.mustLogIn(t, "Alice", "alice's third password")
	b = w.mustLogIn(t, "Alice", "alice's third password")

	// The change holds here. The user is told that it does not hold everywhere, once, also after a redirect.
	w.answerPasswords(t, http.MethodPut, "503-not-everywhere")
	if r := b.change(w, "alice's third password", "alice's fourth password"); r.ChangeAuthenticationData.Status != "success" ||
		!strings.Contains(r.Warnings["changeauthenticationdata"].Warnings, "not yet everywhere") {
		t.Errorf("%+v", r)
	}
	b = w.mustLogIn(t, "Alice", "alice's third password")
	for _, more := range [][]string{nil, {"returnto", "Main Page"}} {
		if page := b.changeOnPage("alice's third password", "alice's fourth password", more...); !strings.Contains(page, "not yet everywhere") {
			t.Errorf("%v: the page has no notice:\n%s", more, content(page))
		}
		if page := b.get("Main Page"); strings.Contains(page, "not yet everywhere") {
			t.Errorf("%v: the notice is there twice", more)
		}
	}
	w.store.setIntercept(nil)
}

func testResetCode(t *testing.T, w *passwordWiki) {
	w.sql(t, "UPDATE user SET user_email = 'bob@example.org', user_email_authenticated = '20260101000000' WHERE user_name = 'Bob'")
	session := w.mustLogIn(t, "Bob", "bob's first password")
	w.take(t)
	anon := newBrowser(t, w.wiki)
	form := hiddenFields(anon.get("Special:PasswordReset"))
	form.Set("wpUsername", "Bob")
	w.answerPasswords(t, http.MethodPost, "503-unavailable")
	anon.post("Special:PasswordReset", form)
	if mails := w.takeMails(t); len(mails) != 0 {
		t.Errorf("the service has made no token, and a mail was sent: %+v", mails)
	}
	w.store.setIntercept(nil)
	w.take(t)
	anon.post("Special:PasswordReset", form) // need not wait a day
	if got := w.takePasswords(t); len(got) != 0 {
		t.Errorf("requests %q: a web server must not make reset tokens", got)
	}
	code := w.takeCode(t, "bob@example.org")
	if got := w.takePasswords(t); !slices.Equal(got, []string{"POST reset-token Created"}) {
		t.Errorf("requests of the job: %q", got)
	}
	// The page does not tell who exists, who has an e-mail address, and who has asked before.
	var pages []string
	for _, name := range []string{"Bob", "Alice", "Nobody"} {
		form.Set("wpUsername", name)
		pages = append(pages, strings.ReplaceAll(content(anon.post("Special:PasswordReset", form)), name, "NAME"))
	}
	if slices.Sort(pages); len(slices.Compact(pages)) != 1 || !strings.Contains(pages[0], "NAME") {
		t.Errorf("the pages differ: %q", pages)
	}
	if mails := w.takeMails(t); len(mails) != 0 {
		t.Errorf("a second mail within a day: %+v", mails)
	}
	w.mustLogIn(t, "Bob", "bob's first password") // it goes on working

	b := newBrowser(t, w.wiki)
	page := b.logInOnPage("Bob", code)
	if !strings.Contains(page, "Choose a new password") || strings.Contains(page, code) {
		t.Fatalf("the page after the code:\n%s", content(page))
	}
	b.expectUser("")
	short := hiddenFields(page)
	short.Set("wpPassword", "xkq 71z")
	short.Set("retype", "xkq 71z")
	if page = b.post("Special:UserLogin", short); !retypeField.MatchString(page) || !strings.Contains(page, "at least 8 characters") {
		t.Fatalf("the page after a short password:\n%s", content(page))
	}
	w.answerPasswords(t, http.MethodPut, "503-not-ready")
	if status, message := b.continueLogIn(w, "bob's second password"); status != "FAIL" || message != unavailable {
		t.Errorf("%s %s", status, message)
	}
	w.store.setIntercept(nil)

	final := hiddenFields(b.logInOnPage("Bob", code))
	final.Set("wpPassword", "bob's second password")
	final.Set("retype", "bob's second password")
	page = b.post("Special:UserLogin", final)
	b.expectUser("Bob")
	if t.Failed() {
		t.Fatalf("the page after the new password:\n%s", content(page))
	}
	session.expectUser("") // a reset ends the other sessions
	w.expectRefusal(t, "Bob", "bob's first password", "wrongpassword")
	w.mustLogIn(t, "Bob", "bob's second password")

	thief := newBrowser(t, w.wiki)
	for name, text := range map[string]string{"used": code, "wrong": "reset-" + strings.Repeat("0", 40)} {
		thief.logIn(w, "Bob", text)
		if status, message := thief.continueLogIn(w, "thief's password"); status != "FAIL" || message != "userinfo-reset-wrong" {
			t.Errorf("a code that is %s: %s %s", name, status, message)
		}
	}
	thief.expectUser("")
	w.mustLogIn(t, "Bob", "bob's second password")
}

func testForcedChange(t *testing.T, w *passwordWiki) {
	w.sql(t, "UPDATE user SET user_password_expires = '20200101000000' WHERE user_name = 'Bob'")
	b := newBrowser(t, w.wiki)
	if status, message := b.logIn(w, "Bob", "bob's second password"); status != "UI" || message != "resetpass-expired" {
		t.Fatalf("%s %s", status, message)
	}
	b.expectUser("")
	if status, message := b.continueLogIn(w, "bob's third password"); status != "PASS" {
		t.Fatalf("%s %s", status, message)
	}
	b.expectUser("Bob")
	w.mustLogIn(t, "Bob", "bob's third password")
}
