//go:build integration

package mediawiki_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"userinfo/internal/e2e/mediawiki"
)

// scriptTimeout is many times what a script of PHP takes.
const scriptTimeout = 4 * time.Minute

// passwordWiki is a wiki whose passwords are in the service, if usePasswords was called.
type passwordWiki struct {
	*wiki
	root    string
	secrets map[string]bool // what must not be in any log
}

func startPasswordWiki(t *testing.T, v mediawiki.Version) *passwordWiki {
	t.Helper()
	w := &passwordWiki{wiki: startWiki(t, v), secrets: map[string]bool{password: true}}
	w.root = v.Install(t)
	w.config.SharedCache = true
	w.writeConfig(t)
	return w
}

// usePasswords sets $wgUserInfoPasswords, with more parameters. All requests go through the recorder.
func (w *passwordWiki) usePasswords(t *testing.T, more ...any) {
	t.Helper()
	w.config.Passwords = map[string]any{
		"url":          strings.TrimSuffix(w.store.url, w.store.path) + "/passwords/v1/",
		"caBundlePath": w.store.caFile,
		"tokenFile":    filepath.Join(w.files, "token"),
		"reqTimeout":   30, // for a busy machine
	}
	for i := 0; i < len(more); i += 2 {
		w.config.Passwords[more[i].(string)] = more[i+1]
	}
	w.writeConfig(t)
}

// useLocalPasswords makes MediaWiki keep passwords itself.
func (w *passwordWiki) useLocalPasswords(t *testing.T) {
	t.Helper()
	w.config.Passwords = nil
	w.writeConfig(t)
}

// script returns the command of a maintenance script of MediaWiki, or of another one if it has a slash.
func (w *passwordWiki) script(ctx context.Context, t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(w.root, "maintenance", script)
	if strings.Contains(script, "/") {
		var err error
		if path, err = filepath.Abs(script); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"MW_CONFIG_FILE=" + filepath.Join(w.dir, "LocalSettings.php"), "MW_INSTALL_PATH=" + w.root}
	return mediawiki.PHP(ctx, env, append([]string{path}, args...)...)
}

// maintain runs a maintenance script, and returns what it printed.
func (w *passwordWiki) maintain(t *testing.T, script string, args ...string) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
	defer cancel()
	text, err := w.script(ctx, t, script, args...).CombinedOutput()
	return string(text), err
}

// mustMaintain is maintain for a script that must succeed.
func (w *passwordWiki) mustMaintain(t *testing.T, script string, args ...string) string {
	t.Helper()
	out, err := w.maintain(t, script, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", script, args, err, out)
	}
	return out
}

// runCode runs PHP code of a maintenance script.
func (w *passwordWiki) runCode(t *testing.T, name, code string) {
	t.Helper()
	file := filepath.Join(w.dir, name+".php")
	write(t, file, `<?php
require_once getenv( 'MW_INSTALL_PATH' ) . '/maintenance/Maintenance.php';
class ScriptOfTest extends Maintenance {
	public function execute() {
		`+code+`
	}
}
$maintClass = ScriptOfTest::class;
require_once RUN_MAINTENANCE_IF_MAIN;
`)
	w.mustMaintain(t, file)
}

// newUser makes a user with a password, by a maintenance script.
func (w *passwordWiki) newUser(t *testing.T, name, pw string) {
	t.Helper()
	w.secrets[pw] = true
	w.mustMaintain(t, "createAndPromote.php", name, pw)
}

// sql runs a statement in the wiki's database.
func (w *passwordWiki) sql(t *testing.T, statement string) [][]any {
	t.Helper()
	w.settle(t)
	const code = `$db = new PDO( "sqlite:$argv[1]" ); $db->setAttribute( PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION );
		$db->setAttribute( PDO::ATTR_TIMEOUT, 60 ); echo json_encode( $db->query( $argv[2] )->fetchAll( PDO::FETCH_NUM ) );`
	cmd := mediawiki.PHP(t.Context(), nil, "-r", code, "--", w.database(), statement)
	var messages bytes.Buffer
	cmd.Stderr = &messages
	out, err := cmd.Output()
	var rows [][]any
	if err != nil || json.Unmarshal(out, &rows) != nil {
		t.Fatalf("%s: %v\n%s%s", statement, err, out, messages.String())
	}
	return rows
}

func (w *passwordWiki) database() string { return filepath.Join(w.dir, "data", "enwiki.sqlite") }

// hashes returns how many users have a hash in the wiki's database.
func (w *passwordWiki) hashes(t *testing.T) int {
	t.Helper()
	return len(w.sql(t, "SELECT user_id FROM user WHERE user_password != '' OR user_newpassword != ''"))
}

// takePasswords returns the requests about passwords since the last call, as METHOD STATUS.
func (w *passwordWiki) takePasswords(t *testing.T) (requests []string) {
	t.Helper()
	for _, q := range w.take(t) {
		if strings.HasPrefix(q.Key, "/passwords/") {
			requests = append(requests, strings.TrimSpace(q.Method+" "+verb.FindString(q.Key)+" "+http.StatusText(q.Status)))
		}
	}
	return requests
}

var verb = regexp.MustCompile(`(verify|reset-token)$`)

// answerPasswords makes every request about passwords with this method get an answer as of the scripted server, such as
// 503-unavailable. Sessions go on.
func (w *passwordWiki) answerPasswords(t *testing.T, method, answer string) {
	t.Helper()
	w.store.setIntercept(func(rw http.ResponseWriter, q *http.Request) bool {
		if !strings.HasPrefix(q.URL.Path, "/passwords/") || q.Method != method {
			return false
		}
		respond(rw, q, answer)
		return true
	})
	t.Cleanup(func() { w.store.setIntercept(nil) })
}

// mail is a mail that the wiki has sent.
type mail struct{ To, Subject, Body string }

// takeMails runs the jobs, as another machine would, and returns the mails that were sent since the last call.
func (w *passwordWiki) takeMails(t *testing.T) (mails []mail) {
	t.Helper()
	w.settle(t)
	w.mustMaintain(t, "runJobs.php")
	file := filepath.Join(w.dir, "mails")
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var m mail
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		mails = append(mails, m)
	}
	_ = os.Remove(file)
	return mails
}

var resetCode = regexp.MustCompile(`\breset-[0-9a-f]{40}\b`)

// takeCode returns the code in the only mail that was sent.
func (w *passwordWiki) takeCode(t *testing.T, to string) string {
	t.Helper()
	mails := w.takeMails(t)
	if len(mails) != 1 || mails[0].To != to {
		t.Fatalf("%d mails, want one to %s: %+v", len(mails), to, mails)
	}
	code := resetCode.FindString(mails[0].Body)
	if code == "" {
		t.Fatalf("the mail has no code:\n%s", mails[0].Body)
	}
	w.secrets[strings.TrimPrefix(code, "reset-")] = true
	return code
}

// checkLogs checks that no log of the wiki has a password or a token.
func (w *passwordWiki) checkLogs(t *testing.T) {
	t.Helper()
	w.settle(t)
	logs, err := filepath.Glob(filepath.Join(w.dir, "*.log"))
	if err != nil || len(logs) < 2 {
		t.Fatalf("found the logs %v, %v", logs, err)
	}
	for _, file := range logs {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for secret := range w.secrets {
			if i := bytes.Index(text, []byte(secret)); i >= 0 {
				t.Errorf("%s has a password or a token: …%s…", filepath.Base(file), text[max(0, i-200):min(len(text), i+len(secret)+50)])
			}
		}
	}
}

// logIn logs in by the API and returns the status and the code of the message.
func (b *browser) logIn(w *passwordWiki, name, pw string) (status, message string) {
	b.t.Helper()
	w.secrets[pw] = true
	r := b.api("action", "clientlogin", "username", name, "password", pw, "logintoken", b.token("login"), "loginreturnurl", b.wiki.String())
	return r.ClientLogin.Status, r.ClientLogin.MessageCode
}

// mustLogIn logs in by the API with a new browser, which it returns.
func (w *passwordWiki) mustLogIn(t *testing.T, name, pw string) *browser {
	t.Helper()
	b := newBrowser(t, w.wiki)
	if status, message := b.logIn(w, name, pw); status != "PASS" {
		t.Fatalf("%s cannot log in: %s %s", name, status, message)
	}
	w.settle(t)
	b.expectUser(name)
	return b
}

// expectRefusal checks that a login by the API fails with this message.
func (w *passwordWiki) expectRefusal(t *testing.T, name, pw, want string) {
	t.Helper()
	b := newBrowser(t, w.wiki)
	if status, message := b.logIn(w, name, pw); status != "FAIL" || message != want {
		t.Errorf("the login of %s: %s %s, want FAIL %s", name, status, message, want)
	}
	b.expectUser("")
}

// continueLogIn sends a new password in the second step of a login.
func (b *browser) continueLogIn(w *passwordWiki, pw string) (status, message string) {
	b.t.Helper()
	w.secrets[pw] = true
	r := b.api("action", "clientlogin", "logincontinue", "1", "password", pw, "retype", pw, "logintoken", b.token("login"))
	return r.ClientLogin.Status, r.ClientLogin.MessageCode
}

var (
	beforeContent = regexp.MustCompile(`(?s)^.*?id="(mw-content-text|bodyContent)"[^>]*>`)
	afterContent  = regexp.MustCompile(`(?s)(id="catlinks"|class="printfooter").*$`)
	anyTag        = regexp.MustCompile(`(?s)<script.*?</script>|<[^>]*>?`)
	blankLines    = regexp.MustCompile(`\s*\n\s*`)
)

// content returns the text of a page without its frame.
func content(page string) string {
	page = afterContent.ReplaceAllString(beforeContent.ReplaceAllString(page, ""), "")
	return blankLines.ReplaceAllString(anyTag.ReplaceAllString(page, " "), "\n")
}
