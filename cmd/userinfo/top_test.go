package main

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"userinfo/internal/devca"
)

const plantedToken = "planted-token-of-an-operator-0123456789abcdef"

// runTop runs top once with the planted token, and returns the exit code and what it printed.
func runTop(t *testing.T, url string, ca []byte) (code int, printed string) {
	t.Helper()
	dir := t.TempDir()
	caFile, tokenFile := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token")
	for name, text := range map[string][]byte{caFile: ca, tokenFile: []byte(plantedToken + "\n")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	code = run(t.Context(), []string{"top", "--once", "--interval", "100ms", "--url", url, "--ca", caFile, "--token-file", tokenFile}, &out, &out)
	return code, out.String()
}

// certificateOf returns the certificate of a server in PEM. It is its own CA.
func certificateOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func TestTop_SendsTokenToVerifiedInstanceOnly(t *testing.T) {
	var others, asked atomic.Int64
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { others.Add(1) }))
	defer other.Close()
	instance := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+plantedToken {
			t.Errorf("the instance got %v", r.Header)
		}
		asked.Add(1)
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer instance.Close()

	code, printed := runTop(t, instance.URL, certificateOf(instance)) // httptest has the same certificate for all servers
	if code != exitFailed || asked.Load() != 2 || others.Load() != 0 || strings.Contains(printed, plantedToken) {
		t.Errorf("exit code %d, %d requests, %d followed redirects\n%s", code, asked.Load(), others.Load(), printed)
	}

	asked.Store(0)
	ca, err := devca.New("another CA")
	if err != nil {
		t.Fatal(err)
	}
	code, printed = runTop(t, instance.URL, ca.PEM())
	if code != exitFailed || asked.Load() != 0 || strings.Contains(printed, plantedToken) {
		t.Errorf("an instance that cannot be verified: exit code %d, %d requests\n%s", code, asked.Load(), printed)
	}
}

func TestTop_RefusesURLsWithoutTLS(t *testing.T) {
	for _, url := range []string{"", "http://127.0.0.1:1", "https://", "https://user:password@127.0.0.1:1", "https://127.0.0.1:1/path", "https://127.0.0.1:1?a=b", "127.0.0.1:1"} {
		if code, printed := runTop(t, url, nil); code == 0 || !strings.Contains(printed, "--url") {
			t.Errorf("%q: exit code %d, %s", url, code, printed)
		}
	}
}
