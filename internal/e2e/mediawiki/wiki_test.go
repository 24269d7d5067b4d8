//go:build integration

package mediawiki_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"userinfo/internal/e2e/devserver"
	"userinfo/internal/e2e/mediawiki"
)

// wikiTimeout is many times what the installation of a wiki, or the start of its server, takes.
const wikiTimeout = 4 * time.Minute

// hmacKey signs the values of the wikis.
const hmacKey = "key of the wiki"

// apiPrefix is the prefix of keys that have no fence in the service of the tests.
const apiPrefix = "apiwiki"

// wiki is a whole wiki with SQLite and PHP's own web server. Its sessions are in a service, behind a recorder.
type wiki struct {
	version mediawiki.Version
	url     string
	dir     string
	files   string // what a client of the service needs, see clientFiles
	store   *recorder
	config  wikiConfig
}

// wikiConfig is what testdata/settings.php reads.
type wikiConfig struct {
	Server    string         `json:"server"`
	Expiry    int            `json:"expiry"` // of sessions, in seconds
	Prefix    string         `json:"prefix"` // of keys
	Extension string         `json:"extension"`
	Cache     map[string]any `json:"cache"`
}

// startWiki installs a wiki and starts its web server and its service. They stop at the end of the test.
func startWiki(t *testing.T, v mediawiki.Version) *wiki {
	t.Helper()
	service := devserver.Start(t, "--fence-exempt", "*:lock", "--fence-exempt", apiPrefix+":MWSession:*")
	w := &wiki{version: v, dir: t.TempDir(), files: clientFiles(t, service), store: newRecorder(t, service)}
	root := v.Install(t)
	address := freeAddress(t)
	w.url = "http://" + address
	w.install(t, root)
	w.serve(t, root, address)
	return w
}

// freeAddress returns a loopback address that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// install runs MediaWiki's installer.
func (w *wiki) install(t *testing.T, root string) {
	t.Helper()
	for _, dir := range []string{"data", "cache"} {
		if err := os.Mkdir(filepath.Join(w.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), wikiTimeout)
	defer cancel()
	passFile := filepath.Join(w.dir, "password")
	write(t, passFile, password)
	cmd := mediawiki.PHP(ctx, nil, filepath.Join(root, "maintenance", "install.php"), "--dbtype=sqlite", "--dbname=enwiki",
		"--dbpath="+filepath.Join(w.dir, "data"), "--confpath="+w.dir, "--scriptpath=", "--server="+w.url, "--passfile="+passFile, "Wiki", userName)
	out, err := cmd.CombinedOutput()
	settings := filepath.Join(w.dir, "LocalSettings.php")
	text, readErr := os.ReadFile(settings)
	if err != nil || readErr != nil {
		t.Fatalf("installing a wiki of MediaWiki %s: %v\n%s", w.version, err, out)
	}
	write(t, settings, string(text)+"\nrequire __DIR__ . '/settings.php';\n")
	if err := os.CopyFS(w.dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	w.useOurs(t)
}

// serve starts PHP's web server with several processes, because some tests need two requests at the same time.
func (w *wiki) serve(t *testing.T, root, address string) {
	t.Helper()
	cmd := mediawiki.PHP(context.Background(), []string{"MW_CONFIG_FILE=" + filepath.Join(w.dir, "LocalSettings.php"), "PHP_CLI_SERVER_WORKERS=4"},
		"-d", "opcache.enable_cli=1", "-d", "display_errors=0", "-d", "log_errors=1", "-S", address, "-t", root)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the processes end together
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "deploy/mediawiki") || strings.Contains(line, `Extension\UserInfo`) {
				t.Errorf("PHP complained about the extension: %s", line)
			}
		}
		if t.Failed() {
			t.Logf("the web server of %s logged:\n%s", w.version, tail(log.String(), 4000))
		}
	})
	waitListening(t, address)
}

// waitListening waits until a server listens at an address.
func waitListening(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(wikiTimeout); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server does not listen: %v", err)
		}
	}
}

// tail returns the last bytes of a text.
func tail(text string, n int) string { return text[max(0, len(text)-n):] }

// useOurs makes the wiki use the extension's class, with more parameters.
func (w *wiki) useOurs(t *testing.T, more ...any) {
	t.Helper()
	extension, err := filepath.Abs(filepath.Join(extensionDir, "extension.json"))
	if err != nil {
		t.Fatal(err)
	}
	w.configure(t, extension, map[string]any{
		"class":     `MediaWiki\Extension\UserInfo\UserInfoBagOStuff`,
		"tokenFile": filepath.Join(w.files, "token"),
	}, more)
}

// useStock makes the wiki use MediaWiki's own class.
func (w *wiki) useStock(t *testing.T) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(w.files, "token"))
	if err != nil {
		t.Fatal(err)
	}
	class := `Wikimedia\ObjectCache\RESTBagOStuff`
	if w.version == "1.39" {
		class = "RESTBagOStuff"
	}
	headers := map[string]string{"Authorization": "Bearer " + strings.TrimSpace(string(token))}
	w.configure(t, "", map[string]any{
		"class":      class,
		"httpParams": map[string]any{"readHeaders": headers, "writeHeaders": headers, "deleteHeaders": headers},
	}, nil)
}

// configure sets the parameters of the session cache, with those that both classes have. Everything else has its default
// again.
func (w *wiki) configure(t *testing.T, extension string, cache map[string]any, more []any) {
	t.Helper()
	cache["url"], cache["caBundlePath"] = w.store.url, w.store.caFile
	cache["serialization_type"], cache["hmac_key"] = "JSON", hmacKey
	for i := 0; i < len(more); i += 2 {
		cache[more[i].(string)] = more[i+1]
	}
	w.config = wikiConfig{Server: w.url, Expiry: 3600, Prefix: "enwiki", Extension: extension, Cache: cache}
	w.writeConfig(t)
}

// writeConfig puts w.config into force, from the next request.
func (w *wiki) writeConfig(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(w.config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(w.dir, "test.json")
	write(t, file+".new", string(text))
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// settle waits until no PHP request runs. MediaWiki writes sessions after it has sent the response.
func (w *wiki) settle(t *testing.T) {
	t.Helper()
	size := func(name string) int64 {
		info, err := os.Stat(filepath.Join(w.dir, name))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	for deadline := time.Now().Add(wikiTimeout); size("started") != size("ended"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d PHP requests have started and %d have ended", size("started"), size("ended"))
		}
	}
}

// take returns the requests to the service since the last call.
func (w *wiki) take(t *testing.T) []storeRequest {
	t.Helper()
	w.settle(t)
	return w.store.take()
}

// cacheLog returns what the channel objectcache logged since the last call.
func (w *wiki) cacheLog(t *testing.T) string {
	t.Helper()
	w.settle(t)
	file := filepath.Join(w.dir, "objectcache.log")
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}
