package main

import (
	"bufio"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"userinfo/access/signature"
)

// signatureKey makes a key file, and what verifies its signatures.
func signatureKey(t *testing.T, dir string) (file string, find func(string) (signature.Key, bool)) {
	t.Helper()
	var text, stderr strings.Builder
	if code := run(t.Context(), []string{"key", "new", "signature"}, &text, &stderr); code != exitOK {
		t.Fatalf("key new signature: %d %s", code, &stderr)
	}
	file = filepath.Join(dir, "wiki.key")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := signature.ParseKey("wiki-1", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return file, func(id string) (signature.Key, bool) { return key, id == "wiki-1" }
}

func TestSignCommand_PrintsHeadersThatVerify(t *testing.T) {
	dir := t.TempDir()
	key, find := signatureKey(t, dir)
	body := filepath.Join(dir, "body")
	if err := os.WriteFile(body, []byte("who=alice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const target = "https://userinfo.example:8443/sessions/v1/enwiki%3Asession%3A1%2Fx"
	for _, c := range []struct {
		method, body, ttl string
		flags             []string
	}{
		{"GET", "", "", nil},
		{"DELETE", "", "", []string{"--method", "DELETE"}},
		{"PATCH", "", "3600", []string{"--method", "PATCH", "--ttl", "3600"}},
		{"PUT", "who=alice\n", "60", []string{"--method=PUT", "--ttl=60", "--body", body}},
	} {
		t.Run(c.method, func(t *testing.T) {
			var stdout, stderr strings.Builder
			args := append([]string{"sign", "--key", key, "--keyid", "wiki-1"}, c.flags...)
			if code := run(t.Context(), append(args, target), &stdout, &stderr); code != exitOK || stderr.String() != "" {
				t.Fatalf("exit code %d: %s", code, &stderr)
			}
			mime, err := textproto.NewReader(bufio.NewReader(strings.NewReader(stdout.String() + "\n"))).ReadMIMEHeader()
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(target)
			if err != nil {
				t.Fatal(err)
			}
			v, err := signature.NewVerifier(signature.Config{}).Verify(signature.Request{
				Method: c.method, Authority: u.Host, Path: u.EscapedPath(), Header: http.Header(mime), HasBody: c.body != "",
			}, find)
			if err != nil {
				t.Fatalf("%v\n%s", err, &stdout)
			}
			if err := v.CheckBody([]byte(c.body)); err != nil {
				t.Error(err)
			}
			if got := http.Header(mime).Get("TTL"); got != c.ttl {
				t.Errorf("TTL %q", got)
			}
		})
	}
}

func TestSignCommand_RejectsWhatCannotBeSigned(t *testing.T) {
	dir := t.TempDir()
	key, _ := signatureKey(t, dir)
	secret, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open.key")
	if err := os.WriteFile(open, secret, 0o644); err != nil {
		t.Fatal(err)
	}
	const target = "https://userinfo.example/sessions/v1/k"
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "accepts 1 arg(s), received 0"},
		{"no key", []string{"--keyid", "a", target}, "required flag(s) \"key\" not set"},
		{"no id", []string{"--key", key, target}, "required flag(s) \"keyid\" not set"},
		{"no URL", []string{"--key", key, "--keyid", "a"}, "received 0"},
		{"two URLs", []string{"--key", key, "--keyid", "a", target, target}, "received 2"},
		{"a key that others can read", []string{"--key", open, "--keyid", "a", target}, "--key: has mode 0644"},
		{"a key in the place of its file", []string{"--key", strings.TrimSpace(string(secret)), "--keyid", "a", target}, "--key: cannot be opened"},
		{"an id that cannot be sent", []string{"--key", key, "--keyid", "ä", target}, "printable ASCII"},
		{"no body", []string{"--key", key, "--keyid", "a", "--body", filepath.Join(dir, "none"), target}, "--body: open "},
		{"not TLS", []string{"--key", key, "--keyid", "a", "http://userinfo.example/k"}, "https://"},
		{"no path", []string{"--key", key, "--keyid", "a", "https://userinfo.example"}, "no path"},
		{"a space", []string{"--key", key, "--keyid", "a", "https://userinfo.example/a b"}, "percent-encoded"},
		{"an invalid escape", []string{"--key", key, "--keyid", "a", "https://userinfo.example/%zz"}, "escape the session key"},
		{"a newline", []string{"--key", key, "--keyid", "a", "--ttl", "6\n0", target}, "contains a newline"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if code := run(t.Context(), append([]string{"sign"}, c.args...), &stdout, &stderr); code != exitUsage {
				t.Errorf("exit code %d", code)
			}
			if stdout.String() != "" || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("said %q and %q, want %q", &stdout, &stderr, c.want)
			}
			if strings.Contains(stderr.String(), string(secret[25:40])) {
				t.Errorf("the key is shown: %s", &stderr)
			}
		})
	}
}
