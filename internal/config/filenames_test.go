package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestConfig_RejectsContentInPlaceOfFileName(t *testing.T) {
	testMistakes(t, []mistake{
		{"a key for its path", "key: server.key", `key: "-----BEGIN PRIVATE KEY-----\nhunter2"`, "u.yaml:2: tls.key: give the name of a file, not its contents"},
		{"a password with a line end for its path", "password_file: password", `password_file: "hunter2\n"`, "u.yaml:7: cassandra.password_file: give the name of a file, not its contents"},
		{"a key with a line end for its path", "index_key: index.key", `index_key: "userinfo-index-key-1:hunter2\n"`, "u.yaml:17: seal.index_key: give the name of a file, not its contents"},
		{"a seal key with a line end for its path", "keys: [seal.key]", `keys: [seal.key, "hunter2\n"]`, "u.yaml:17: seal.keys[1]: give the name of a file, not its contents"},
		{"an audit key for its path", sessions, sessions + "\naudit: {key_file: \"userinfo-audit-key-1:hunter2\\n\"}", "u.yaml:11: audit.key_file: give the name of a file, not its contents"},
		{"a signature key for its path", "    grants: [sessions:get]", "    signature_keys: [{id: x, file: \"hunter2\\n\"}]\n    grants: [sessions:get]", "u.yaml:15: clients[0].signature_keys[0].file: give the name of a file, not its contents"},
	})
}

func TestConfig_ResolvesFileNamesRelativeToConfiguration(t *testing.T) {
	f, err := Parse("/etc/userinfo/u.yaml", []byte(strings.Replace(minimal, "index.key", "/keys/index", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		f.TLS.Certificate:        "/etc/userinfo/server.crt",
		f.Cassandra.TLS.CA:       "/etc/userinfo/ca.crt",
		f.Cassandra.PasswordFile: "/etc/userinfo/password",
		f.Seal.IndexKey:          "/keys/index",
		f.Seal.Keys[0]:           "/etc/userinfo/seal.key",
		f.Audit.KeyFile:          "",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestConfig_FileNamesAreComplete finds fields whose names say that they hold the name of a file.
func TestConfig_FileNamesAreComplete(t *testing.T) {
	_, c := readExample(t)
	known := make(map[string]bool)
	for _, f := range c.fileNames() {
		known[*f.name] = true
	}
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`(?m)^[^#\n]*?(/etc/userinfo/[^\s,\]]+)`).FindAllSubmatch(text, -1) {
		if !known[string(name[1])] {
			t.Errorf("%s is not in fileNames", name[1])
		}
	}
}
