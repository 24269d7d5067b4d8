//go:build integration

package mediawiki_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"userinfo/internal/e2e/devserver"
	"userinfo/internal/e2e/mediawiki"
)

// hmacKey signs the values of the wikis.
const hmacKey = "key of the wiki"

// apiPrefix is the prefix of keys that have no fence in the service of the tests.
const apiPrefix = "apiwiki"

// wiki is a whole wiki with SQLite and PHP's own web server. Its sessions are in a service, behind a recorder.
type wiki struct {
	*mediawiki.Wiki
	version mediawiki.Version
	url     string
	dir     string
	files   string // what a client of the service needs, see clientFiles
	store   *recorder
	config  mediawiki.Config
}

// startWiki installs a wiki and starts its web server and its service. They stop at the end of the test.
func startWiki(t *testing.T, v mediawiki.Version) *wiki {
	t.Helper()
	service := devserver.Start(t, "--fence-exempt", "*:lock", "--fence-exempt", apiPrefix+":MWSession:*")
	w := &wiki{version: v, dir: t.TempDir(), files: clientFiles(t, service), store: newRecorder(t, service)}
	w.Wiki = mediawiki.InstallWiki(t, v, w.dir, userName, password)
	w.url = w.Serve(t)
	w.useOurs(t)
	return w
}

// Functions of package mediawiki that other tests of this directory use.
var freeAddress, waitListening = mediawiki.FreeAddress, mediawiki.WaitListening

// useOurs makes the wiki use the extension's class, with more parameters.
func (w *wiki) useOurs(t *testing.T, more ...any) {
	t.Helper()
	w.configure(t, mediawiki.ExtensionFile(t, extensionDir), map[string]any{
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
	w.config = mediawiki.Config{Server: w.url, Expiry: 3600, Prefix: "enwiki", Extension: extension, Cache: cache}
	w.writeConfig(t)
}

// writeConfig puts w.config into force, from the next request.
func (w *wiki) writeConfig(t *testing.T) {
	t.Helper()
	w.Configure(t, w.config)
}

// settle waits until no PHP request runs.
func (w *wiki) settle(t *testing.T) {
	t.Helper()
	w.Settle(t)
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
