package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCassandra_ValidateRejects(t *testing.T) {
	testMistakes(t, []mistake{
		{"no hosts", "  hosts: [127.0.0.1]\n", "", "u.yaml:3: cassandra.hosts: missing"},
		{"port out of range", "hosts:", "port: 70000\n  hosts:", "u.yaml:4: cassandra.port: must be from 1 to 65535"},
		{"keyspace that needs quotes", "hosts:", "keyspace: UserInfo\n  hosts:", "u.yaml:4: cassandra.keyspace: must be of a-z, 0-9 and _, beginning with a letter, at most 48 characters"},
		{"Cassandra's own keyspace", "hosts:", "keyspace: system_auth\n  hosts:", "u.yaml:3: cassandra: the schema's settings are wrong: keyspace \"system_auth\" is Cassandra's own"},
		{"no local datacentre", "  local_datacentre: dc1\n", "", "u.yaml:3: cassandra.local_datacentre: missing"},
		{"local datacentre without replicas", "hosts:", "replication: {dc2: 3}\n  hosts:", `u.yaml:3: cassandra: the schema's settings are wrong: local datacentre "dc1" is not in the replication`},
		{"no username", "  username: userinfo\n", "", "u.yaml:3: cassandra.username: missing"},
		{"two names of the user", "hosts:", "username_file: user\n  hosts:", "u.yaml:4: cassandra.username_file: leave out username, or leave out username_file"},
		{"no password file", "  password_file: password\n", "", "u.yaml:3: cassandra.password_file: missing"},
	})
}

func TestCassandra_CredentialsAreReadAnew(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	c := Cassandra{Username: "user", PasswordFile: write("password", "first\n")}
	want := func(username, password string) {
		t.Helper()
		if u, p, err := c.Credentials(); u != username || string(p) != password || err != nil {
			t.Errorf("got user %q, password %q and error %v, want %q and %q", u, p, err, username, password)
		}
	}
	want("user", "first")
	write("password", "second\r\n")
	want("user", "second")
	c.Username, c.UsernameFile = "", write("user", "other\n")
	want("other", "second")
	for _, name := range []string{"user", "password"} {
		write(name, "\n")
		if _, p, err := c.Credentials(); err == nil || p != nil || !strings.Contains(err.Error(), "cassandra."+strings.Replace(name, "user", "username", 1)+"_file: the file is empty") {
			t.Errorf("with an empty %s file: password %q and error %v", name, p, err)
		}
		write(name, "text")
	}
}
