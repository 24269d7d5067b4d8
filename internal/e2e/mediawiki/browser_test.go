//go:build integration

package mediawiki_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The only user of the wikis.
const (
	userName = "Admin"
	password = "a long password of the tests"
)

// browser is somebody who uses a wiki. It keeps cookies and follows redirects.
type browser struct {
	t      *testing.T
	wiki   *url.URL
	client *http.Client
	header http.Header // of every request
}

// addresses counts the addresses of browsers.
var addresses atomic.Uint32

// newBrowser returns a browser with an address of its own, because the service counts wrong passwords of each address.
func newBrowser(t *testing.T, w *wiki) *browser {
	t.Helper()
	address, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := addresses.Add(1)
	header := http.Header{"X-Forwarded-For": {fmt.Sprintf("198.18.%d.%d", n/250, n%250+1)}} // password_settings.php trusts it
	return &browser{t: t, wiki: address, client: &http.Client{Jar: jar, Timeout: time.Minute}, header: header}
}

// copy returns another browser with the same cookies, as somebody has who has copied them.
func (b *browser) copy() *browser {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	jar.SetCookies(b.wiki, b.client.Jar.Cookies(b.wiki))
	return &browser{t: b.t, wiki: b.wiki, client: &http.Client{Jar: jar, Timeout: time.Minute}, header: b.header.Clone()}
}

// sessionID returns the value of the session cookie, or an empty string.
func (b *browser) sessionID() string {
	for _, c := range b.client.Jar.Cookies(b.wiki) {
		if strings.HasSuffix(c.Name, "_session") {
			return c.Value
		}
	}
	return ""
}

// get returns the page of a title, with more parameters of index.php.
func (b *browser) get(title string, more ...string) string {
	b.t.Helper()
	values := url.Values{"title": {title}}
	for i := 0; i < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	return b.do(http.MethodGet, "/index.php?"+values.Encode(), nil)
}

// post sends a form to the page of a title.
func (b *browser) post(title string, form url.Values, more ...string) string {
	b.t.Helper()
	values := url.Values{"title": {title}}
	for i := 0; i < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	return b.do(http.MethodPost, "/index.php?"+values.Encode(), form)
}

func (b *browser) do(method, path string, form url.Values) string {
	b.t.Helper()
	q, err := http.NewRequestWithContext(b.t.Context(), method, b.wiki.String()+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	q.Header = b.header.Clone()
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := b.client.Do(q)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if response.StatusCode >= http.StatusInternalServerError {
		b.t.Fatalf("%s %s: %s\n%s", method, path, response.Status, text)
	}
	return string(text)
}

// apiResult is the part of the API's results that the tests need.
type apiResult struct {
	Query struct {
		Tokens   map[string]string
		UserInfo struct {
			ID   int
			Name string
		}
	}
	ClientLogin              struct{ Status, Message, MessageCode string }
	CreateAccount            struct{ Status, Message, MessageCode string }
	ChangeAuthenticationData struct{ Status string }
	ResetPassword            struct{ Status string }
	Edit                     struct{ Result string }
	Error                    struct{ Code, Info string }
	Warnings                 map[string]struct{ Warnings string }
}

// api calls the API with pairs of parameters. An error of the API is in the result.
func (b *browser) api(pairs ...string) apiResult {
	b.t.Helper()
	values := url.Values{"format": {"json"}, "formatversion": {"2"}}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	text := b.do(http.MethodPost, "/api.php", values)
	var result apiResult
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		b.t.Fatalf("the API returned no JSON: %v\n%s", err, text)
	}
	return result
}

// token returns a token of the API: csrf, login, createaccount.
func (b *browser) token(kind string) string {
	b.t.Helper()
	return b.api("action", "query", "meta", "tokens", "type", kind).Query.Tokens[kind+"token"]
}

// user returns the name of the user that the browser is logged in as, or an empty string.
func (b *browser) user() string {
	b.t.Helper()
	if user := b.api("action", "query", "meta", "userinfo").Query.UserInfo; user.ID != 0 {
		return user.Name
	}
	return ""
}

func (b *browser) expectUser(want string) {
	b.t.Helper()
	if got := b.user(); got != want {
		b.t.Errorf("logged in as %q, want %q", got, want)
	}
}

func (b *browser) logInByAPI() {
	b.t.Helper()
	r := b.api("action", "clientlogin", "username", userName, "password", password, "logintoken", b.token("login"), "loginreturnurl", b.wiki.String())
	if r.ClientLogin.Status != "PASS" {
		b.t.Fatalf("the login failed: %+v", r)
	}
	b.expectUser(userName)
}

func (b *browser) logInByForm() {
	b.t.Helper()
	form := hiddenFields(b.get("Special:UserLogin"))
	form.Set("wpName", userName)
	form.Set("wpPassword", password)
	form.Set("wploginattempt", "Log in")
	page := b.post("Special:UserLogin", form)
	b.expectUser(userName)
	if b.t.Failed() {
		b.t.Logf("the page after the login:\n%s", page)
	}
}

func (b *browser) logOutByAPI() apiResult {
	b.t.Helper()
	r := b.api("action", "logout", "token", b.token("csrf"))
	if r.Error.Code != "" {
		b.t.Fatalf("the logout failed: %+v", r)
	}
	return r
}

// logOutByForm returns the page after the logout.
func (b *browser) logOutByForm() string {
	b.t.Helper()
	return b.post("Special:UserLogout", hiddenFields(b.get("Special:UserLogout")))
}

func (b *browser) editByAPI(title, text string) {
	b.t.Helper()
	if r := b.api("action", "edit", "title", title, "text", text, "token", b.token("csrf")); r.Edit.Result != "Success" {
		b.t.Fatalf("the edit failed: %+v", r)
	}
	b.expectText(title, text)
}

func (b *browser) editByForm(title, text string) {
	b.t.Helper()
	form := hiddenFields(b.get(title, "action", "edit"))
	form.Set("wpTextbox1", text)
	form.Set("wpSave", "Save")
	b.post(title, form, "action", "submit")
	b.expectText(title, text)
}

func (b *browser) expectText(title, want string) {
	b.t.Helper()
	if got := b.get(title, "action", "raw"); got != want {
		b.t.Errorf("the page %s is %q, want %q", title, got, want)
	}
}

var (
	inputTag   = regexp.MustCompile(`<input\b[^>]*>`)
	attributes = regexp.MustCompile(`([a-z]+)=(?:"([^"]*)"|'([^']*)')`)
)

// hiddenFields returns the hidden fields of the forms in a page, without those of the search box.
func hiddenFields(page string) url.Values {
	form := make(url.Values)
	for _, tag := range inputTag.FindAllString(page, -1) {
		a := make(map[string]string)
		for _, m := range attributes.FindAllStringSubmatch(tag, -1) {
			a[m[1]] = html.UnescapeString(m[2] + m[3])
		}
		if a["type"] == "hidden" && a["name"] != "" && a["name"] != "title" {
			form.Set(a["name"], a["value"])
		}
	}
	return form
}
