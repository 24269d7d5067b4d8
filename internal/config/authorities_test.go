package config

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/internal/devca"
)

func TestAuthorities_Mistakes(t *testing.T) {
	list := func(text string) string { return sessions + "\nauthorities: [" + text + "]" }
	testMistakes(t, []mistake{
		{"an empty list", sessions, list(""), "u.yaml:11: authorities: empty, so that every request would be refused"},
		{"a URL", sessions, list("https://a.example"), "u.yaml:11: authorities[0]: "},
		{"a wildcard for a whole domain", sessions, list(`a.example, "*.example"`), "u.yaml:11: authorities[1]: matches hosts of more than one domain"},
		{"a network", sessions, list("10.0.0.0/8"), "u.yaml:11: authorities[0]: is not a host name or an IP address"},
	})
}

// serves reports whether a signed request for this authority is for the service of s.
func serves(t *testing.T, s *Snapshot, text string) bool {
	t.Helper()
	sent, err := access.ParseAuthority(text)
	if err != nil {
		t.Fatal(err)
	}
	return s.Rules.Authorities.Check(sent, netip.MustParseAddrPort("192.0.2.1:8443"), true) == nil
}

func (r *testReloader) writeCertificate(leaf devca.Leaf) {
	r.t.Helper()
	ca, err := devca.New("test")
	if err != nil {
		r.t.Fatal(err)
	}
	if _, _, err := ca.Write(r.dir, "server", leaf); err != nil {
		r.t.Fatal(err)
	}
}

func (r *testReloader) wantServed(served, refused string) {
	r.t.Helper()
	for text, want := range map[string]bool{served: true, refused: false} {
		if got := serves(r.t, r.Current(), text); got != want {
			r.t.Errorf("%s is served: %v", text, got)
		}
	}
}

func TestReloader_TakesAuthoritiesFromCertificate(t *testing.T) {
	r := newTestReloader(t)
	r.wantServed("localhost:8443", "new.example")
	r.writeCertificate(devca.Leaf{CommonName: "new", DNSNames: []string{"new.example"}})
	r.tick(true)
	r.wantServed("new.example:8443", "localhost")

	// A certificate without names is not used, because every request would be refused.
	spiffe := devca.Leaf{CommonName: "new", URIs: []*url.URL{{Scheme: "spiffe", Host: "example", Path: "/userinfo"}}}
	r.writeCertificate(spiffe)
	r.Reload(false)
	if err := r.logged["tls"]; !strings.Contains(err, "authorities") || !strings.Contains(err, "no DNS name and no IP address") {
		t.Errorf("logged %q", err)
	}
	r.wantServed("new.example", "localhost")

	// The list makes it usable.
	r.writeConfig("authorities: [listed.example]\n" + r.common + client(oldToken))
	r.Reload(false) // seen once
	r.Reload(false)
	r.wantServed("listed.example", "new.example")
	r.tick(true)
	r.wantServed("listed.example", "new.example")
	if r.Current().Server.Certificate().DNSNames != nil {
		t.Error("the new certificate is not in force")
	}
}

func TestOpen_NeedsAuthorities(t *testing.T) {
	dir := t.TempDir()
	writeMinimalFiles(t, dir)
	r := &testReloader{t: t, dir: dir}
	r.writeCertificate(devca.Leaf{CommonName: "new", URIs: []*url.URL{{Scheme: "spiffe", Host: "example", Path: "/userinfo"}}})
	for text, want := range map[string]string{minimal: "authorities: missing, and the server's certificate has no DNS name", "authorities: [a.example]\n" + minimal: ""} {
		r.writeConfig(text)
		f, err := Load(filepath.Join(dir, "userinfo.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Open(time.Now); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
