//go:build integration

package mediawiki_test

import (
	"strings"
	"testing"

	"userinfo/internal/e2e/chromium"
	"userinfo/internal/e2e/mediawiki"
)

// TestBrowser_UsesPasswordsInService is what a person sees of a wiki whose passwords are in the service. It saves screenshots as
// artifacts.
func TestBrowser_UsesPasswordsInService(t *testing.T) {
	w := startPasswordWiki(t, "1.43")
	w.usePasswords(t)
	browser := chromium.Start(t)
	profile := func(name string) *mediawiki.Tab {
		return mediawiki.NewTab(t, browser.NewProfile(t, name), w.url)
	}

	tab := profile("erin")
	tab.OpenPage("Special:CreateAccount")
	tab.SubmitForm(map[string]string{
		"wpName": "Erin", "wpPassword": "erin's first password", "retype": "erin's first password", "email": "erin@example.org",
	})
	tab.ExpectUser("Erin")
	tab.Screenshot("1-account-created")
	tab.LogOut()
	tab.LogIn("Erin", "erin's first password")

	tab.OpenPage("Special:ChangePassword")
	tab.SubmitForm(map[string]string{"current": "erin's wrong password", "password": "erin's second password", "retype": "erin's second password"})
	tab.ExpectText("The old password is wrong")
	tab.Screenshot("2-old-password-wrong")
	tab.ChangePassword("erin's first password", "erin's second password")
	tab.Screenshot("3-changed")

	w.takeMails(t) // of the new account
	reader := profile("reader")
	reader.OpenPage("Special:PasswordReset")
	reader.SubmitForm(map[string]string{"wpUsername": "Erin"})
	reader.Screenshot("4-reset-asked")
	code := w.takeCode(t, "erin@example.org")
	reader.OpenPage("Special:UserLogin")
	reader.SubmitForm(map[string]string{"wpName": "Erin", "wpPassword": code})
	reader.ExpectText("Choose a new password")
	reader.Screenshot("5-reset-code-accepted")
	reader.SubmitForm(map[string]string{"wpPassword": "erin's third password", "retype": "erin's third password"})
	reader.ExpectUser("Erin")
	reader.Screenshot("6-password-reset")

	stranger := profile("stranger")
	for range maxGuesses {
		stranger.OpenPage("Special:UserLogin")
		stranger.SubmitForm(map[string]string{"wpName": "Erin", "wpPassword": "a wrong password"})
		if text := stranger.Text("#mw-content-text"); !strings.Contains(text, "Incorrect username or password") {
			break
		}
	}
	stranger.ExpectText("Please wait")
	stranger.Screenshot("7-too-many-guesses")
	w.answerPasswords(t, "POST", "503-unavailable")
	stranger.OpenPage("Special:UserLogin")
	stranger.SubmitForm(map[string]string{"wpName": "Erin", "wpPassword": "erin's third password"})
	stranger.ExpectText("the password service is not available")
	stranger.Screenshot("8-service-not-available")
}
