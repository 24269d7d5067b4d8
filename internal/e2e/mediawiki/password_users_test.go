//go:build integration

package mediawiki_test

import (
	"net/http"
	"testing"
)

func testPasswordScripts(t *testing.T, w *passwordWiki) {
	w.newUser(t, "Operator", "operator's password")
	w.mustLogIn(t, "Operator", "operator's password")
	w.secrets["operator's new password"] = true
	w.mustMaintain(t, "changePassword.php", "--user=Operator", "--password=operator's new password")
	w.expectRefusal(t, "Operator", "operator's password", "wrongpassword")
	w.mustLogIn(t, "Operator", "operator's new password")
	if n := w.hashes(t); n != 1 { // the installer's
		t.Errorf("%d users have a hash in the database", n)
	}
	w.answerPasswords(t, http.MethodPost, "403-forbidden")
	if out, err := w.maintain(t, "changePassword.php", "--user=Operator", "--password=operator's new password"); err == nil {
		t.Errorf("a client without the right to reset has changed a password:\n%s", out)
	}
}

// testRenamedUsers gives the name of a user to another user. The service knows names only.
func testRenamedUsers(t *testing.T, w *passwordWiki) {
	w.newUser(t, "First", "first's password")
	w.newUser(t, "Second", "second's password")
	w.sql(t, "UPDATE user SET user_email = 'second@example.org' WHERE user_name = 'Second'")
	w.rename(t, "First", "Former")
	w.rename(t, "Second", "First")
	for _, pw := range []string{"first's password", "second's password"} {
		w.expectRefusal(t, "First", pw, "wrongpassword")
		w.expectRefusal(t, "Second", pw, "wrongpassword")
		w.expectRefusal(t, "Former", pw, "wrongpassword")
	}
	anon := newBrowser(t, w.wiki)
	form := hiddenFields(anon.get("Special:PasswordReset"))
	form.Set("wpUsername", "First")
	anon.post("Special:PasswordReset", form)
	b := newBrowser(t, w.wiki)
	b.logIn(w, "First", w.takeCode(t, "second@example.org"))
	if status, message := b.continueLogIn(w, "second's new password"); status != "PASS" {
		t.Fatalf("%s %s", status, message)
	}
	w.expectRefusal(t, "First", "first's password", "wrongpassword")
	w.mustLogIn(t, "First", "second's new password")
}

// rename gives a user another name, as Special:RenameUser does.
func (w *passwordWiki) rename(t *testing.T, old, name string) {
	t.Helper()
	w.runCode(t, "rename", `
		$class = class_exists( MediaWiki\RenameUser\RenameuserSQL::class )
			? MediaWiki\RenameUser\RenameuserSQL::class : MediaWiki\Extension\Renameuser\RenameuserSQL::class;
		$users = MediaWiki\MediaWikiServices::getInstance()->getUserFactory();
		$id = $users->newFromName( '`+old+`' )->getId();
		if ( !( new $class( '`+old+`', '`+name+`', $id, $users->newFromName( '`+userName+`' ) ) )->rename() ) {
			$this->fatalError( 'not renamed' );
		}`)
}

func testSystemUsers(t *testing.T, w *passwordWiki) {
	// A system user has a token that is not valid. Nobody logs in as one, even with the right password.
	w.newUser(t, "Robot", "robot's password")
	w.sql(t, "UPDATE user SET user_token = '*** INVALID ***' WHERE user_name = 'Robot'")
	w.expectRefusal(t, "Robot", "robot's password", "wrongpassword")
	w.mustLogIn(t, "Operator", "operator's new password")
	w.revoke(t, "Operator")
	w.expectRefusal(t, "Operator", "operator's new password", "wrongpassword")
}

// revoke takes every way to log in away from a user, as MediaWiki does it when it makes a system user of him.
func (w *passwordWiki) revoke(t *testing.T, name string) {
	t.Helper()
	w.runCode(t, "revoke", `MediaWiki\MediaWikiServices::getInstance()->getAuthManager()->revokeAccessForUser( '`+name+`' );`)
}
