package config

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTracing_ValidateRejects(t *testing.T) {
	with := func(tracing string) string { return sessions + "\ntracing: {" + tracing + "}" }
	const https = "endpoint: 'https://c.example:4318'"
	testMistakes(t, []mistake{
		{"no endpoint", sessions, with("sample_ratio: 0.1"), "u.yaml:11: tracing.endpoint: missing"},
		{"no endpoint, but headers", sessions, with("headers_file: h"), "u.yaml:11: tracing.endpoint: missing"},
		{"no URL", sessions, with("endpoint: 'c.example:4318'"), "u.yaml:11: tracing.endpoint: give a URL"},
		{"gRPC", sessions, with("endpoint: 'grpc://c.example:4317'"), "u.yaml:11: tracing.endpoint: give a URL"},
		{"no host", sessions, with("endpoint: 'https:///v1/traces'"), "u.yaml:11: tracing.endpoint: give a URL"},
		{"a password", sessions, with("endpoint: 'https://u:hunter2@c.example'"), "u.yaml:11: tracing.endpoint: give a URL without user"},
		{"a query", sessions, with("endpoint: 'https://c.example/?key=hunter2'"), "u.yaml:11: tracing.endpoint: give a URL without user"},
		{"a URL that cannot be parsed", sessions, with("endpoint: 'https://hunter2%zz'"), "u.yaml:11: tracing.endpoint: give a URL"},
		{"no TLS", sessions, with("endpoint: 'http://c.example:4318'"), "u.yaml:11: tracing.endpoint: use https://"},
		{"no TLS, another address", sessions, with("endpoint: 'http://192.0.2.1:4318'"), "u.yaml:11: tracing.endpoint: use https://"},
		{"no TLS, every address of the machine", sessions, with("endpoint: 'http://0.0.0.0:4318'"), "u.yaml:11: tracing.endpoint: use https://"},
		{"no TLS, a name that looks like loopback", sessions, with("endpoint: 'http://localhost.example:4318'"), "u.yaml:11: tracing.endpoint: use https://"},
		{"a CA without TLS", sessions, with("endpoint: 'http://127.0.0.1:4318', ca: ca.crt"), "u.yaml:11: tracing.ca: the endpoint has no TLS"},
		{"a ratio above 1", sessions, with(https + ", sample_ratio: 1.5"), "u.yaml:11: tracing.sample_ratio: must be from 0 to 1"},
		{"a negative ratio", sessions, with(https + ", sample_ratio: -0.1"), "u.yaml:11: tracing.sample_ratio: must be from 0 to 1"},
		{"a ratio that is no number", sessions, with(https + ", sample_ratio: .nan"), "u.yaml:11: tracing.sample_ratio: must be from 0 to 1"},
		{"the headers themselves", sessions, with(https + `, headers_file: "Authorization: hunter2\n"`), "u.yaml:11: tracing.headers_file: give the name of a file"},
		{"an unknown field", sessions, with(https + ", insecure: true"), "u.yaml:11: tracing: there is no field"},
	})
}

func TestTracing_DefaultsAndURL(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		"tracing: {endpoint: 'https://c.example:4318'}":           "https://c.example:4318/v1/traces",
		"tracing: {endpoint: 'https://c.example/'}":               "https://c.example/v1/traces",
		"tracing: {endpoint: 'https://c.example/otlp/v1/traces'}": "https://c.example/otlp/v1/traces",
		"tracing: {endpoint: 'http://127.0.0.1:4318'}":            "http://127.0.0.1:4318/v1/traces",
		"tracing: {endpoint: 'http://[::1]:4318'}":                "http://[::1]:4318/v1/traces",
		"tracing: {endpoint: 'http://localhost:4318'}":            "http://localhost:4318/v1/traces",
	} {
		f, err := Parse("u.yaml", []byte(minimal+text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		c := f.Tracing
		if want == "" {
			if c.IsOn() || c != (Tracing{}) {
				t.Errorf("tracing is on by default: %+v", c)
			}
			continue
		}
		if got := c.URL(); got != want || *c.SampleRatio != 0.01 || c.ServiceName != "userinfo" {
			t.Errorf("%s: %s, ratio %v, service %q; want %s, 0.01, userinfo", text, got, *c.SampleRatio, c.ServiceName, want)
		}
	}
	f, err := Parse("u.yaml", []byte(minimal+"tracing: {endpoint: 'https://c.example', sample_ratio: 0}"))
	if err != nil || *f.Tracing.SampleRatio != 0 {
		t.Errorf("a ratio of 0: %v", err)
	}
}

func TestTracing_OpenChecksFiles(t *testing.T) {
	dir := t.TempDir()
	writeMinimalFiles(t, dir)
	write := func(name, text string, mode os.FileMode) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good := Tracing{
		Endpoint: "https://c.example", CA: filepath.Join(dir, "ca.crt"),
		HeadersFile: write("headers", "authorization: Bearer hunter2\nX-Scope-Orgid: 1\n", 0o600),
	}
	config, err := good.open(time.Now)
	if err != nil || config.RootCAs == nil || config.InsecureSkipVerify {
		t.Fatalf("%v", err)
	}
	headers, err := good.Headers()
	if want := (http.Header{"Authorization": {"Bearer hunter2"}, "X-Scope-Orgid": {"1"}}); err != nil || len(headers) != 2 ||
		!slices.Equal(headers["Authorization"], want["Authorization"]) || !slices.Equal(headers["X-Scope-Orgid"], want["X-Scope-Orgid"]) {
		t.Errorf("headers %v, %v", headers, err)
	}
	for name, test := range map[string]struct {
		change func(*Tracing)
		want   string
	}{
		"no such CA":                    {func(c *Tracing) { c.CA = filepath.Join(dir, "nothing") }, "tracing.ca: "},
		"a CA file without certificate": {func(c *Tracing) { c.CA = filepath.Join(dir, "server.key") }, "tracing.ca: "},
		"no such headers":               {func(c *Tracing) { c.HeadersFile = filepath.Join(dir, "hunter2") }, "tracing.headers_file: cannot be opened"},
		"headers everybody can read":    {func(c *Tracing) { c.HeadersFile = write("public", "a: hunter2", 0o644) }, "tracing.headers_file: "},
		"a header without a name":       {func(c *Tracing) { c.HeadersFile = write("token", "hunter2", 0o600) }, "tracing.headers_file: line 1 is not NAME: VALUE"},
	} {
		c := good
		test.change(&c)
		if _, err := c.open(time.Now); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got error %v, want one with %q", name, err, test.want)
		}
	}
}
