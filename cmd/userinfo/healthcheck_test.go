package main

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOwnAddress_IsReachableFromThisMachine(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:8443": "127.0.0.1:8443", ":8443": "127.0.0.1:8443", "[::]:8443": "127.0.0.1:8443",
		"10.64.0.21:8443": "10.64.0.21:8443", "[2001:db8::1]:8443": "[2001:db8::1]:8443", "userinfo.example:8443": "userinfo.example:8443",
		"127.0.0.1:0": "", "127.0.0.1": "",
	} {
		got, err := ownAddress(listen)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ownAddress(%q) is %q, %v; want %q", listen, got, err, want)
		}
	}
}

// askServer runs the command against a server with this handler, and returns its exit code and what it printed.
func askServer(t *testing.T, handler http.HandlerFunc, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	code = run(context.Background(), append([]string{"healthcheck", "--url", server.URL, "--ca", ca}, flags...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestHealthcheck_OnlyStatus200IsHealthy(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		code   int
		want   string // in the output
	}{
		"healthy":        {http.StatusOK, "ready\n", exitOK, "/readyz: ready\n"},
		"not ready":      {http.StatusServiceUnavailable, `{"detail":"It waits."}`, exitFailed, "/readyz: 503 Service Unavailable: It waits.\n"},
		"no reason":      {http.StatusInternalServerError, "<html>", exitFailed, "/readyz: 500 Internal Server Error\n"},
		"closed":         {http.StatusForbidden, `{"detail":"no"}`, exitFailed, "/readyz: 403 Forbidden: the audience health does not let this machine in"},
		"a redirect":     {http.StatusFound, "", exitFailed, "/readyz: 302 Found\n"},
		"no content":     {http.StatusNoContent, "", exitFailed, "/readyz: 204 No Content\n"},
		"control":        {http.StatusOK, "a\x1b[2Jb\nc", exitOK, "/readyz: a [2Jb c\n"},
		"control in 503": {http.StatusServiceUnavailable, `{"detail":"a\u001bb"}`, exitFailed, "503 Service Unavailable: a b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := askServer(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/readyz" || r.Header.Get("Authorization") != "" {
					t.Errorf("request of %s", r.URL.Path)
				}
				w.Header().Set("Location", "/healthz")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body)) // fails for 204
			}, "--ready")
			if code != test.code || !strings.Contains(stdout+stderr, test.want) || (stdout == "") == (code == exitOK) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %d and %q", code, stdout, stderr, test.code, test.want)
			}
		})
	}
}

func TestHealthcheck_UntrustedCertificateIsUnhealthy(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the request was sent") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	var stdout, stderr strings.Builder
	code := run(t.Context(), []string{"healthcheck", "--url", server.URL}, &stdout, &stderr) // with the CAs of this machine
	if code != exitFailed || !strings.Contains(stderr.String(), "certificate signed by unknown authority") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, &stdout, &stderr)
	}
}

func TestHealthcheck_SilentServerIsUnhealthy(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	released := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel() // instead of waiting for healthcheckTimeout
		<-released
	}))
	defer server.Close()
	defer close(released)
	h := healthcheck{url: server.URL + "/healthz", tls: server.Client().Transport.(*http.Transport).TLSClientConfig}
	if answer, err := h.ask(ctx); err == nil {
		t.Errorf("a server that never answers is healthy: %q", answer)
	}
}

func TestHealthcheck_FlagsAreChecked(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"":                                    "at least one of the flags in the group [config url] is required",
		"--url https://a --config b":          "none of the others can be",
		"--ca a --config b":                   "none of the others can be",
		"--url http://localhost":              "--url: write https://",
		"--url https://localhost/sessions/v1": "--url: write https://",
		"--url https://u:p@localhost":         "--url: write https://",
		"--url localhost:8443":                "--url: write https://",
		"--url https://a --ca missing":        "--ca: open missing: no such file",
		"--url https://a --ca " + empty:       "holds no certificate in PEM",
		"--config missing":                    "reading the configuration",
	} {
		var stdout, stderr strings.Builder
		code := run(t.Context(), append([]string{"healthcheck"}, strings.Fields(args)...), &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("healthcheck %s: exit code %d, stderr %q; want %q", args, code, &stderr, want)
		}
	}
}
