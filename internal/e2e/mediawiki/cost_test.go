//go:build integration

package mediawiki_test

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// testCost reports what each class costs, directly and through deploy/mediawiki/haproxy.cfg. The recorder adds to the
// times. The test checks that a PHP request makes one TLS connection, and through the proxy none.
func testCost(t *testing.T, w *wiki) {
	proxy := startLocalProxy(t, w) + w.store.path
	known := make(map[int64]bool)
	// newConnections returns how many of the requests' connections were not used before.
	newConnections := func(requests []storeRequest) (n int) {
		for _, q := range requests {
			if !known[q.Connection] {
				known[q.Connection] = true
				n++
			}
		}
		return n
	}
	const views = 10
	for _, c := range []struct {
		name       string
		use        func()
		newPerView int // new TLS connections
	}{
		{"stock", func() { w.useStock(t) }, 1},
		{"stock through a proxy", func() { w.useStock(t); w.config.Cache["url"] = proxy; w.writeConfig(t) }, 0},
		{"ours", func() { w.useOurs(t) }, 1},
		{"ours through a proxy", func() { w.useOurs(t, "url", proxy) }, 0},
	} {
		c.use()
		b := newBrowser(t, w)
		w.take(t)
		b.logInByAPI()
		login := w.take(t)
		line := fmt.Sprintf("login by the API: %d requests, %d new TLS connections", len(login), newConnections(login))
		b.get("Main_Page") // adds to the session what the pages need
		newConnections(w.take(t))
		var took []time.Duration
		for range views {
			start := time.Now()
			b.get("Main_Page")
			took = append(took, time.Since(start))
		}
		viewed := w.take(t)
		n := newConnections(viewed)
		if len(viewed) != views || c.newPerView == 1 && n != views || c.newPerView == 0 && n > views/2 {
			t.Errorf("%s: %d requests and %d new connections for %d views", c.name, len(viewed), n, views)
		}
		slices.Sort(took)
		t.Logf("%s on %s: %s; %d views: %d requests, %d new TLS connections, median %v", c.name, w.version, line, views, len(viewed), n,
			took[views/2].Round(time.Millisecond))
		b.logOutByAPI()
	}
}

// startLocalProxy starts haproxy with deploy/mediawiki/haproxy.cfg in front of the recorder, and returns its origin.
func startLocalProxy(t *testing.T, w *wiki) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(extensionDir, "haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(w.store.url)
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	config := strings.NewReplacer("127.0.0.1:8081", address, "10.64.0.21:8443", target.Host, "10.64.0.22:8443", target.Host,
		"userinfo.example", "localhost", "/etc/haproxy/userinfo-ca.crt", w.store.caFile, "/run/haproxy/userinfo.sock", filepath.Join(w.dir, "haproxy.sock"),
		"maxconn 2000", "maxconn 200").Replace(string(text))
	file := filepath.Join(w.dir, "haproxy.cfg")
	write(t, file, config)
	cmd := exec.Command("haproxy", "-db", "-f", file)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("haproxy logged:\n%s", log.String())
		}
	})
	waitListening(t, address)
	return "http://" + address
}
