//go:build integration

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"userinfo/internal/e2e/mediawiki"
	"userinfo/internal/fleet"
)

const (
	wikiUser     = "Admin"
	wikiPassword = "a long password of the tests"
	// wikiTimeout is many times what anything takes that a test of a wiki waits for.
	wikiTimeout = 4 * time.Minute
)

// wiki is a whole wiki with SQLite and PHP's own web server. Its sessions are in the instance that use names.
type wiki struct {
	*testing.T
	dir, url  string
	tokenFile string
}

// startWiki installs a wiki with the extension and starts its web server, which stops at the end of the test.
func (env *environment) startWiki(t *testing.T, v mediawiki.Version) *wiki {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	w := &wiki{T: t, dir: t.TempDir(), url: "http://" + address}
	w.tokenFile = w.write("token", string(env.fleet.Token()))
	for _, dir := range []string{"data", "cache"} {
		if err := os.Mkdir(filepath.Join(w.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), wikiTimeout)
	defer cancel()
	root, settings := v.Install(t), filepath.Join(w.dir, "LocalSettings.php")
	out, err := mediawiki.PHP(ctx, nil, filepath.Join(root, "maintenance", "install.php"), "--dbtype=sqlite", "--dbname=enwiki",
		"--dbpath="+filepath.Join(w.dir, "data"), "--confpath="+w.dir, "--scriptpath=", "--server="+w.url,
		"--passfile="+w.write("password", wikiPassword), "Wiki", wikiUser).CombinedOutput()
	text, readErr := os.ReadFile(settings)
	if err != nil || readErr != nil {
		t.Fatalf("installing a wiki of MediaWiki %s: %v\n%s", v, err, out)
	}
	w.write("LocalSettings.php", string(text)+"\nrequire __DIR__ . '/settings.php';\n")
	if err := os.CopyFS(w.dir, os.DirFS("mediawiki/testdata")); err != nil {
		t.Fatal(err)
	}
	w.serve(root, address)
	return w
}

// serve starts PHP's web server and waits until it listens.
func (w *wiki) serve(root, address string) {
	w.Helper()
	cmd := mediawiki.PHP(context.Background(), []string{"MW_CONFIG_FILE=" + filepath.Join(w.dir, "LocalSettings.php"), "PHP_CLI_SERVER_WORKERS=2"},
		"-d", "display_errors=0", "-d", "log_errors=1", "-S", address, "-t", root)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its processes end together
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if w.Failed() {
			w.Logf("the web server logged:\n%s", log.String())
		}
	})
	w.await("the web server listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// write writes a file of the wiki at once, and returns its path.
func (w *wiki) write(name, text string) string {
	w.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		w.Fatal(err)
	}
	return file
}

// await polls until done returns true.
func (w *wiki) await(what string, done func() bool) {
	w.Helper()
	for end := time.Now().Add(wikiTimeout); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("did not happen within %v: %s", wikiTimeout, what)
		}
	}
}

// use makes the wiki keep its sessions in an instance, from the next request.
func (w *wiki) use(env *environment, i *fleet.Instance) {
	w.Helper()
	extension, err := filepath.Abs("../../deploy/mediawiki/extension.json")
	if err != nil {
		w.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{
		"server": w.url, "expiry": 3600, "prefix": "enwiki", "extension": extension,
		"cache": map[string]any{
			"class": `MediaWiki\Extension\UserInfo\UserInfoBagOStuff`, "url": i.CollectionURL("sessions"), "caBundlePath": env.fleet.CAFile(),
			"tokenFile": w.tokenFile, "serialization_type": "JSON", "hmac_key": "key of the wiki",
			"connTimeout": 30, "reqTimeout": 30, // for a busy machine
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.write("test.json", string(config))
}

// visitor is somebody who uses a wiki.
type visitor struct {
	*wiki
	http http.Client
}

func (w *wiki) visitor() *visitor {
	w.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.Fatal(err)
	}
	return &visitor{w, http.Client{Jar: jar, Timeout: wikiTimeout}}
}

// copy returns another visitor with the same cookies, as somebody has who has copied them.
func (v *visitor) copy() *visitor {
	v.Helper()
	address, err := url.Parse(v.url)
	if err != nil {
		v.Fatal(err)
	}
	other := v.visitor()
	other.http.Jar.SetCookies(address, v.http.Jar.Cookies(address))
	return other
}

func (v *visitor) post(path string, form url.Values) string {
	v.Helper()
	response, err := v.http.PostForm(v.url+path, form)
	if err != nil {
		v.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		v.Fatal(err)
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
	ClientLogin struct{ Status string }
	Edit        struct{ Result string }
	Error       struct{ Code, Info string }
	Warnings    map[string]struct{ Warnings string }
}

// api calls the API with pairs of parameters.
func (v *visitor) api(pairs ...string) (r apiResult) {
	v.Helper()
	form := url.Values{"format": {"json"}, "formatversion": {"2"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	text := v.post("/api.php", form)
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		v.Fatalf("the API returned no JSON: %v\n%s", err, text)
	}
	return r
}

// token returns a token of the API.
func (v *visitor) token(kind string) string {
	v.Helper()
	return v.api("action", "query", "meta", "tokens", "type", kind).Query.Tokens[kind+"token"]
}

// isLoggedIn reports whether the wiki knows who the visitor is.
func (v *visitor) isLoggedIn() bool {
	v.Helper()
	user := v.api("action", "query", "meta", "userinfo").Query.UserInfo
	return user.ID != 0 && user.Name == wikiUser
}

func (v *visitor) logIn() {
	v.Helper()
	if r := v.api("action", "clientlogin", "username", wikiUser, "password", wikiPassword, "logintoken", v.token("login"), "loginreturnurl", v.url); r.ClientLogin.Status != "PASS" {
		v.Fatalf("the login failed: %+v", r)
	}
}

// TestWiki_LogoutDuringACutIsSeenEverywhereAfterIt logs out while the datacentres cannot reach each other.
func TestWiki_LogoutDuringACutIsSeenEverywhereAfterIt(t *testing.T) {
	const notice = "not yet everywhere"
	ctx, env := context.Background(), shared
	w := env.startWiki(t, "1.43")
	here, there := env.serve(t, "dc1"), env.serve(t, "dc2")
	w.use(env, here)
	user := w.visitor()
	user.logIn()
	thief := user.copy()
	if !thief.isLoggedIn() {
		t.Fatal("a copied cookie does not work")
	}
	w.use(env, there)
	w.await("the session is in dc2", func() bool { return thief.copy().isLoggedIn() })

	cut := env.cluster.LinkBetween("dc1", "dc2")
	t.Cleanup(func() {
		if err := env.cluster.HealAll(context.Background()); err != nil {
			t.Error(err)
		}
		env.waitAllUp(t)
	})
	if err := env.cluster.Cut(ctx, cut); err != nil {
		t.Fatal(err)
	}
	env.waitCutNoticed(t)
	w.use(env, here)
	other := w.visitor()
	other.logIn()
	if r := other.api("action", "edit", "title", "Page", "text", "written during the cut", "token", other.token("csrf")); r.Edit.Result != "Success" {
		t.Errorf("an edit during the cut failed: %+v", r)
	}
	if r := user.api("action", "logout", "token", user.token("csrf")); !strings.Contains(r.Warnings["logout"].Warnings, notice) || r.Error.Code != "" {
		t.Errorf("the logout returned %+v, want the warning %q", r, notice)
	}
	if page := user.post("/index.php?title=Main_Page", nil); !strings.Contains(page, notice) {
		t.Errorf("the page after the logout has no notice:\n%s", page)
	}
	if user.isLoggedIn() || thief.copy().isLoggedIn() {
		t.Error("the session is not gone in the datacentre of the logout")
	}
	w.use(env, there)
	if !thief.copy().isLoggedIn() {
		t.Error("the session is gone in the other datacentre, so the notice was wrong")
	}

	if err := env.cluster.Heal(ctx, cut); err != nil {
		t.Fatal(err)
	}
	env.waitAllUp(t)
	w.await("the logout is in dc2", func() bool { return !thief.copy().isLoggedIn() })
	env.waitPending(t, here, 0)
	env.waitPending(t, there, 0)
	for _, i := range []*fleet.Instance{here, there} {
		w.use(env, i)
		if thief.copy().isLoggedIn() {
			t.Error("the session is back")
		}
		w.await("the session of the cut is known", func() bool { return other.copy().isLoggedIn() })
	}
}
