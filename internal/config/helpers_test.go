package config

import (
	"strings"
	"testing"
)

// minimal is a valid configuration without any field that has a default.
const minimal = `listen: 127.0.0.1:8443
tls: {certificate: server.crt, key: server.key}
cassandra:
  hosts: [127.0.0.1]
  local_datacentre: dc1
  username: userinfo
  password_file: password
  tls: {ca: ca.crt}
collections:
  - name: sessions
clients:
  - name: wiki
    tokens:
      - sha256: 0000000000000000000000000000000000000000000000000000000000000000
    grants: [sessions:get]
    keys: ["*"]
seal: {index_key: index.key, keys: [seal.key]}
audiences: {sessions: [{token: true}], metrics: [{token: true}]}
`

// Parts of the minimal configuration.
const (
	sessions = "- name: sessions"
	zeroHash = "0000000000000000000000000000000000000000000000000000000000000000"
)

// section returns the minimal configuration from one text to another.
func section(from, to string) string {
	text := minimal[strings.Index(minimal, from):]
	if to != "" {
		text = text[:strings.Index(text, to)]
	}
	return text
}

// parseError returns the error of Parse, which must fail and must not contain the secret hunter2.
func parseError(t *testing.T, text string) string {
	t.Helper()
	f, err := Parse("u.yaml", []byte(text))
	if f != nil || err == nil {
		t.Fatalf("got %v, %v; want an error", f, err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error contains a secret: %v", err)
	}
	return err.Error()
}

// mistake is a change of the minimal configuration, and the beginning of the only line of its error.
type mistake struct{ name, old, new, want string }

// err returns the error of the changed configuration.
func (m mistake) err(t *testing.T) string {
	t.Helper()
	text := strings.Replace(minimal, m.old, m.new, 1)
	if text == minimal {
		t.Fatalf("%q is not in the configuration", m.old)
	}
	err := parseError(t, text)
	if !strings.HasPrefix(err, m.want) {
		t.Errorf("got\n%s\nwant it to begin with\n%s", err, m.want)
	}
	return err
}

// testMistakes checks that each change of the minimal configuration is reported, with its line, as the only mistake.
func testMistakes(t *testing.T, mistakes []mistake) {
	t.Helper()
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			if err := m.err(t); strings.Count(err, "u.yaml:") != 1 {
				t.Errorf("more than one mistake:\n%s", err)
			}
		})
	}
}
