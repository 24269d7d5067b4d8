package mediawiki

import (
	"net/url"
	"strings"
	"testing"

	"userinfo/internal/e2e/chromium"
)

// Tab is a tab of a browser that shows pages of a wiki.
type Tab struct {
	*chromium.Tab
	t      *testing.T
	origin string
}

// NewTab returns a Tab for the wiki at an origin.
func NewTab(t *testing.T, tab *chromium.Tab, origin string) *Tab {
	return &Tab{Tab: tab, t: t, origin: origin}
}

// Elements of MediaWiki's pages.
const (
	content      = "#mw-content-text"
	logOutLink   = "#pt-logout a"
	logoutNotice = ".mw-userinfo-logout"
	textBox      = "#wpTextbox1"
)

// OpenPage opens the page of a title, with more parameters of index.php.
func (tab *Tab) OpenPage(title string, more ...string) {
	tab.t.Helper()
	values := url.Values{"title": {title}}
	for i := 0; i < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	tab.Open(tab.origin + "/index.php?" + values.Encode())
	tab.awaitPage()
}

// awaitPage waits until a page of the wiki has loaded and its scripts listen to clicks. It does not matter whether the
// browser has already left the page before.
func (tab *Tab) awaitPage() {
	tab.t.Helper()
	tab.Await("document.readyState === 'complete' && window.jQuery && window.mw && mw.loader.using && mw.config.exists('wgUserName')")
	// MediaWiki's script has registered its listeners before the function that is given to jQuery here is called.
	tab.Run("mw.loader.using('mediawiki.page.ready').then(() => new Promise(ready => $(() => ready())))")
}

// awaitUser waits until a page says that its reader is logged in with this name, or, with an empty name, that the reader is
// not logged in.
func (tab *Tab) awaitUser(name string) {
	tab.t.Helper()
	tab.Await("window.mw && mw.config.exists('wgUserName') && (mw.config.get('wgUserName') || '') === " + chromium.Quote(name))
	tab.awaitPage()
}

// User returns the name of the user whom the page belongs to, or an empty string.
func (tab *Tab) User() string {
	tab.t.Helper()
	tab.awaitPage()
	return chromium.Eval[string](tab.Tab, "mw.config.get('wgUserName') || ''")
}

// ExpectUser fails the test if the page does not belong to this user.
func (tab *Tab) ExpectUser(want string) {
	tab.t.Helper()
	if got := tab.User(); got != want {
		tab.t.Errorf("logged in as %q, want %q", got, want)
	}
}

// LogIn logs in with the form of Special:UserLogin.
func (tab *Tab) LogIn(name, password string) {
	tab.t.Helper()
	tab.OpenPage("Special:UserLogin")
	tab.SubmitForm(map[string]string{"wpName": name, "wpPassword": password})
	tab.awaitUser(name)
}

// SubmitForm fills in the form of a special page, which the tab shows, and sends it. fields has the values by the names of
// the inputs:
//
//	Special:UserLogin       wpName, wpPassword
//	Special:ChangePassword  password, retype; current, if passwords are in the service
//	Special:PasswordReset   wpUsername
func (tab *Tab) SubmitForm(fields map[string]string) {
	tab.t.Helper()
	for name, value := range fields {
		tab.Fill(content+" form [name="+name+"]", value)
	}
	tab.Submit(content + " form [type=submit]")
}

// ChangePassword changes the password of the user who is logged in, if passwords are in the service.
func (tab *Tab) ChangePassword(current, password string) {
	tab.t.Helper()
	tab.OpenPage("Special:ChangePassword")
	tab.SubmitForm(map[string]string{"current": current, "password": password, "retype": password})
	tab.ExpectText("Your credentials have been changed")
}

// ExpectText fails the test if the content of the page does not have a text.
func (tab *Tab) ExpectText(want string) {
	tab.t.Helper()
	if text := tab.Text(content); !strings.Contains(text, want) {
		tab.t.Fatalf("the page does not say %q:\n%s", want, text)
	}
}

// Submit clicks on a button that sends a form, and waits for the page that follows.
func (tab *Tab) Submit(button string) {
	tab.t.Helper()
	tab.Follow(func() { tab.Click(button) })
	tab.awaitPage()
}

// Edit makes a text the only one of a page, with the form of action=edit.
func (tab *Tab) Edit(title, text string) {
	tab.t.Helper()
	tab.OpenPage(title, "action", "edit")
	tab.Fill(textBox, text)
	tab.Submit("#wpSave")
	if got := tab.Text(".mw-parser-output"); got != text {
		tab.t.Errorf("the saved page is %q, want %q", got, text)
	}
}

// LogOut clicks on the link of the skin. Its script logs out through the API and then opens Special:UserLogout.
func (tab *Tab) LogOut() {
	tab.t.Helper()
	tab.awaitPage()
	tab.Submit(logOutLink)
	tab.awaitUser("")
}

// LogoutNotice returns the notice that a logout is not complete, or an empty string.
func (tab *Tab) LogoutNotice() string {
	tab.t.Helper()
	if !tab.Has(logoutNotice) {
		return ""
	}
	return strings.Join(strings.Fields(tab.Text(logoutNotice)), " ")
}

// LogoutNoticeIsBox reports whether the notice has the border of MediaWiki's own warnings.
func (tab *Tab) LogoutNoticeIsBox() bool {
	tab.t.Helper()
	tab.AwaitElement(logoutNotice)
	box := "document.querySelector(" + chromium.Quote(logoutNotice) + ")"
	return chromium.Eval[bool](tab.Tab, "getComputedStyle("+box+").borderTopWidth !== '0px'")
}
