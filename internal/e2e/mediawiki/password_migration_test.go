//go:build integration

package mediawiki_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"userinfo/internal/e2e/mediawiki"
)

const importScript = extensionDir + "/maintenance/importPasswords.php"

// TestMigration_OfPasswords moves the passwords of a wiki into the service, and back, on both versions.
func TestMigration_OfPasswords(t *testing.T) {
	for _, v := range mediawiki.Versions {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			w := startPasswordWiki(t, v)
			w.useLocalPasswords(t)
			users := newLocalUsers(t, w)
			t.Run("without fall-back", func(t *testing.T) { testNoFallback(t, w) })
			t.Run("with fall-back", func(t *testing.T) { testFallback(t, w) })
			t.Run("import", func(t *testing.T) { testImport(t, w, users) })
			t.Run("rollback", func(t *testing.T) { testRollback(t, w, users) })
			t.Run("remove", func(t *testing.T) { testRemove(t, w, users) })
			t.Run("logs have no secret", w.checkLogs)
		})
	}
}

// localUsers are users with hashes in the wiki's database, by name. Their values are passwords.
type localUsers map[string]string

// unusableUser has a hash of a scheme that the service does not know.
const unusableUser = "Unusable"

func md5Hex(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// schemes are the schemes of MediaWiki's hashes of users. The others have the default, PBKDF2.
var schemes = map[string]string{
	"User A": "A", "User B": "B", "User C": "pbkdf2-legacyA", "User F": "pbkdf2-legacyB", "User G": "bcrypt", "User H": "argon2",
}

// passwordOfSchemes is the password of these users.
const passwordOfSchemes = "password of many users"

func newLocalUsers(t *testing.T, w *passwordWiki) localUsers {
	t.Helper()
	hashes := map[string]string{unusableUser: ":nosuchscheme:1234567890abcdef"}
	made := askPasswordFactory(t, w.version, factoryRequest{Passwords: []string{passwordOfSchemes}, Hashes: []passwordHash{}, Cheap: true}).Made
	users := localUsers{userName: password}
	for _, name := range []string{"User A", "User B", "User C", "User D", "User E", "User F", "User G", "User H", "User I", unusableUser, "User Raw"} {
		users[name] = "password of " + name
		if scheme, ok := schemes[name]; ok {
			users[name] = passwordOfSchemes
			n := slices.IndexFunc(made, func(h passwordHash) bool { return h.Scheme == scheme })
			hashes[name] = made[n].Hash
		}
		w.newUser(t, name, users[name])
		hash := hashes[name]
		if name == "User Raw" { // as MediaWiki 1.4 had it: no type, and the user_id is the salt
			id := fmt.Sprint(w.sql(t, "SELECT user_id FROM user WHERE user_name = 'User Raw'")[0][0])
			hash = md5Hex(id + "-" + md5Hex(users[name]))
		}
		if hash != "" {
			w.sql(t, fmt.Sprintf("UPDATE user SET user_password = '%s' WHERE user_name = '%s'", hash, name))
		}
	}
	w.sql(t, "UPDATE user SET user_newpassword = user_password, user_newpass_time = '20261101000000' WHERE user_name = 'User C'")
	w.mustLogIn(t, "User A", users["User A"])
	return users
}

func testNoFallback(t *testing.T, w *passwordWiki) {
	w.usePasswords(t)
	w.expectRefusal(t, "User A", passwordOfSchemes, "wrongpassword")
	w.answerPasswords(t, http.MethodPost, "503-unavailable")
	w.expectRefusal(t, "User A", passwordOfSchemes, unavailable)
	if w.hashes(t) != 12 {
		t.Error("a hash has changed")
	}
}

func testFallback(t *testing.T, w *passwordWiki) {
	w.usePasswords(t, "local", "wrong")
	w.expectRefusal(t, "User D", "wrong password of User D", "wrongpassword")
	w.take(t)
	w.mustLogIn(t, "User D", "password of User D")
	if got := w.takePasswords(t); !slices.Equal(got, []string{"POST verify Forbidden", "PUT  Created"}) {
		t.Errorf("requests %q", got)
	}
	w.mustLogIn(t, "User D", "password of User D")
	if got := w.takePasswords(t); !slices.Equal(got, []string{"POST verify No Content"}) {
		t.Errorf("requests of the second login %q", got)
	}

	t.Run("an old password never works again", func(t *testing.T) {
		old := fmt.Sprint(w.sql(t, "SELECT user_password FROM user WHERE user_name = 'User D'")[0][0])
		b := w.mustLogIn(t, "User D", "password of User D")
		if r := b.change(w, "password of User D", "new password of User D"); r.ChangeAuthenticationData.Status != "success" {
			t.Fatalf("%+v", r)
		}
		if got := fmt.Sprint(w.sql(t, "SELECT user_password FROM user WHERE user_name = 'User D'")); got != "[[]]" {
			t.Error("the local hash is still there after a change")
		}
		w.sql(t, fmt.Sprintf("UPDATE user SET user_password = '%s' WHERE user_name = 'User D'", old)) // as if a replica lagged
		w.expectRefusal(t, "User D", "password of User D", "wrongpassword")
		w.mustLogIn(t, "User D", "new password of User D")
	})
	t.Run("somebody who has logged in before the migration changes the password", func(t *testing.T) {
		w.useLocalPasswords(t)
		b := w.mustLogIn(t, "User E", "password of User E")
		w.usePasswords(t, "local", "wrong")
		if r := b.change(w, "not the password of User E", "new password of User E"); r.Error.Code != "userinfo-current-wrong" {
			t.Errorf("%+v", r)
		}
		if r := b.change(w, "password of User E", "new password of User E"); r.ChangeAuthenticationData.Status != "success" {
			t.Fatalf("%+v", r)
		}
		w.expectRefusal(t, "User E", "password of User E", "wrongpassword")
		w.mustLogIn(t, "User E", "new password of User E")
	})
	t.Run("a local password that is too weak for the service", func(t *testing.T) {
		const weak = "xkq 71z"
		w.sql(t, fmt.Sprintf("UPDATE user SET user_password = ':A:%s' WHERE user_name = 'User I'", md5Hex(weak)))
		b := newBrowser(t, w.wiki)
		if status, message := b.logIn(w, "User I", weak); status != "UI" || message != "resetpass-validity" {
			t.Fatalf("%s %s", status, message)
		}
		if r := b.api("action", "clientlogin", "logincontinue", "1", "skipReset", "1", "logintoken", b.token("login")); r.ClientLogin.Status == "PASS" {
			t.Error("the change can be skipped")
		}
		b = newBrowser(t, w.wiki)
		b.logIn(w, "User I", weak)
		if status, message := b.continueLogIn(w, "new password of User I"); status != "PASS" {
			t.Fatalf("%s %s", status, message)
		}
		b.expectUser("User I")
		w.mustLogIn(t, "User I", "new password of User I")
	})
	t.Run("a service that does not answer", func(t *testing.T) {
		w.answerPasswords(t, http.MethodPost, "503-unavailable")
		w.expectRefusal(t, "User F", passwordOfSchemes, unavailable)
		w.usePasswords(t, "local", "unavailable")
		w.mustLogIn(t, "User F", passwordOfSchemes)
		w.expectRefusal(t, "User F", "wrong password of User F", unavailable)
		w.expectRefusal(t, "User E", "new password of User E", unavailable)
		w.answerPasswords(t, http.MethodPost, "429-too-many-guesses")
		w.expectRefusal(t, "User F", passwordOfSchemes, "login-throttled")
		w.answerPasswords(t, http.MethodPost, "429-too-many-requests")
		w.expectRefusal(t, "User F", passwordOfSchemes, unavailable)
	})
}

func testImport(t *testing.T, w *passwordWiki, users localUsers) {
	w.usePasswords(t)
	for _, name := range []string{"User D", "User E", "User I"} {
		users[name] = "new password of " + name
	}
	before := w.hashes(t)

	out := w.killImport(t, 4, "--batch-size=2")
	if !strings.Contains(out, "2 of 10 users: 2 imported. About") || !strings.Contains(out, "To continue here: --from=") {
		t.Errorf("the import that was killed:\n%s", out)
	}

	// The service refuses after some users. The script says where to continue.
	var puts atomic.Int32
	w.store.setIntercept(func(rw http.ResponseWriter, q *http.Request) bool {
		refuse := q.Method == http.MethodPut && strings.HasPrefix(q.URL.Path, "/passwords/") && puts.Add(1) > 4
		if refuse {
			respond(rw, q, "403-forbidden")
		}
		return refuse
	})
	out, err := w.maintain(t, importScript, "--batch-size=2")
	w.store.setIntercept(nil)
	found := regexp.MustCompile(`run again with --from=(\d+)`).FindStringSubmatch(out)
	if err == nil || found == nil || !strings.Contains(out, "4 of 10 users: 4 imported") {
		t.Fatalf("the import that was refused: %v\n%s", err, out)
	}
	w.take(t)
	out, err = w.maintain(t, importScript, "--from="+found[1], "--batch-size=2")
	if err == nil || !strings.Contains(out, "1 with a newer password in the service, 1 not imported") ||
		!strings.Contains(out, "The service cannot use the hash of the user with user_id") {
		t.Fatalf("the import of the rest: %v\n%s", err, out)
	}
	if got := w.takePasswords(t); len(got) != 6 {
		t.Errorf("the second run repeated what the first one had done: %q", got)
	}
	if after := w.hashes(t); after != before {
		t.Errorf("the database has %d hashes, and had %d", after, before)
	}
	for name, pw := range users {
		if name != unusableUser {
			w.mustLogIn(t, name, pw)
		}
	}
	w.expectRefusal(t, "User D", "password of User D", "wrongpassword")
	w.expectRefusal(t, unusableUser, users[unusableUser], "wrongpassword")
}

// killImport kills the script after its nth request has reached the service, and before the answer reaches the
// script. It returns what the script has printed.
func (w *passwordWiki) killImport(t *testing.T, n int32, args ...string) string {
	t.Helper()
	reached := make(chan struct{})
	var puts atomic.Int32
	w.store.setIntercept(func(_ http.ResponseWriter, q *http.Request) bool {
		if q.Method != http.MethodPut || !strings.HasPrefix(q.URL.Path, "/passwords/") || puts.Add(1) != n {
			return false
		}
		w.store.proxy.ServeHTTP(httptest.NewRecorder(), q)
		close(reached)
		<-q.Context().Done()
		return true
	})
	defer w.store.setIntercept(nil)
	cmd := w.script(t.Context(), t, importScript, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-reached:
	case err := <-ended:
		t.Fatalf("the import ended before it could be killed: %v\n%s", err, out.String())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	return out.String()
}

func testRollback(t *testing.T, w *passwordWiki, users localUsers) {
	w.useLocalPasswords(t)
	w.mustLogIn(t, "User A", users["User A"]) // nobody has changed it
	w.expectRefusal(t, "User E", "password of User E", "wrongpassword")
	w.expectRefusal(t, "User E", "new password of User E", "wrongpassword") // needs a reset
	w.usePasswords(t)
}

func testRemove(t *testing.T, w *passwordWiki, users localUsers) {
	w.newBotPassword(t, "User G")
	w.request(t, http.MethodDelete, "User I", "", http.StatusNoContent)
	w.sql(t, fmt.Sprintf("UPDATE user SET user_password = ':A:%s' WHERE user_name = 'User I'", md5Hex(users["User I"]))) // as if the wiki had not heard of it
	delete(users, "User I")
	before := w.hashes(t)
	w.killImport(t, 4, "--remove")
	if left := w.hashes(t); left != before-3 {
		t.Errorf("after the removal was killed, %d of %d users have a hash", left, before)
	}
	for name, pw := range users {
		if name != unusableUser {
			w.mustLogIn(t, name, pw)
		}
	}
	found := w.allHashes(t)
	if len(found) < 5 {
		t.Fatalf("the search finds %d hashes", len(found))
	}
	for i := range 3 { // in parts, as several processes do it
		out, err := w.maintain(t, importScript, "--remove", fmt.Sprintf("--shard=%d/3", i+1), "--bot-passwords=keep")
		if err != nil && !strings.Contains(out, "1 not imported") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if out, err := w.maintain(t, importScript, "--remove"); err == nil || !strings.Contains(out, "1 users still have a hash") ||
		!strings.Contains(out, "hashes of 1 bot passwords") {
		t.Errorf("something is left, and the script says: %v\n%s", err, out)
	}
	out := w.mustMaintain(t, importScript, "--remove", "--disable-unusable", "--bot-passwords=remove")
	if !strings.Contains(out, "no hash of a password of a user left") || !strings.Contains(out, "1 disabled") {
		t.Errorf("%s", out)
	}
	w.mustMaintain(t, "SqliteMaintenance.php", "--vacuum")
	if left := w.allHashes(t); len(left) != 0 {
		t.Errorf("the database file has %d hashes: %q", len(left), left)
	}
	if out := w.mustMaintain(t, importScript, "--remove"); !strings.Contains(out, "0 users have a hash") {
		t.Errorf("%s", out)
	}
	for name, pw := range users {
		if name != unusableUser {
			w.mustLogIn(t, name, pw)
		}
	}
	w.expectRefusal(t, "User A", "wrong password of User A", "wrongpassword")
	w.expectRefusal(t, "User I", "new password of User I", "wrongpassword")
	if left := w.allHashes(t); len(left) != 0 {
		t.Errorf("logins have written %d hashes", len(left))
	}
}

// newBotPassword makes a bot password of a user.
func (w *passwordWiki) newBotPassword(t *testing.T, name string) {
	t.Helper()
	w.sql(t, "INSERT INTO bot_passwords (bp_user, bp_app_id, bp_password, bp_token, bp_restrictions, bp_grants) "+
		"SELECT user_id, 'bot', ':pbkdf2:sha512:30000:64:c2FsdHNhbHRzYWx0c2FsdA==:AAAA', 'x', '{}', '[]' FROM user WHERE user_name = '"+name+"'")
}

var anyHash = regexp.MustCompile(`:(A|B|pbkdf2|bcrypt|argon2|pbkdf2-legacyA|pbkdf2-legacyB|nosuchscheme):[!-~]{4,}`)

// allHashes returns what looks like a hash in the file of the wiki's database, whatever table or free page it is in.
func (w *passwordWiki) allHashes(t *testing.T) (found []string) {
	t.Helper()
	w.settle(t)
	text, err := os.ReadFile(w.database())
	if err != nil {
		t.Fatal(err)
	}
	if wal, err := os.ReadFile(w.database() + "-wal"); err == nil {
		text = bytes.Join([][]byte{text, wal}, nil)
	}
	for _, m := range anyHash.FindAll(text, -1) {
		found = append(found, string(m))
	}
	return found
}
