package config

import (
	"os"
	"strings"
	"testing"
	"time"

	"userinfo/access"
)

// withPasswords is the minimal configuration with passwords.
var withPasswords = strings.Replace(minimal, "audiences: {", `passwords:
  seal: {index_key: passwords-index.key, keys: [passwords-seal.key]}
audiences: {passwords: [{certificate: true}], `, 1)

func TestPasswords_HaveDefaults(t *testing.T) {
	f, err := Parse("u.yaml", []byte(withPasswords))
	if err != nil {
		t.Fatal(err)
	}
	c := f.Passwords.UsersConfig()
	if err := c.Argon2id.Validate(); err != nil || c.Argon2id.MemoryKiB != 65536 || c.MemoryKiB != 65536 || c.MinLength != 8 || c.ResetTTL != 24*time.Hour || c.GuessesPerMinute != 600 || f.Passwords.Workers < 1 {
		t.Errorf("the defaults are %+v, %d workers (%v)", c, f.Passwords.Workers, err)
	}
	if !f.SchemaSpec().Passwords {
		t.Error("the schema has no tables of passwords")
	}
}

func TestPasswords_AreOffUnlessConfigured(t *testing.T) {
	f, err := Parse("u.yaml", []byte(minimal))
	if err != nil || f.Passwords != nil || f.SchemaSpec().Passwords {
		t.Errorf("passwords are on (%v)", err)
	}
	policy, err := f.Policy(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := policy.NeedsKey("passwords:verify"); err == nil {
		t.Error("there is a grant passwords:verify")
	}
}

func TestPasswords_MayBeAlone(t *testing.T) {
	text, err := os.ReadFile("../../deploy/passwords.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("../../deploy/passwords.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.SchemaSpec().Validate(); err != nil || len(f.Collections) != 0 {
		t.Errorf("%d collections (%v)", len(f.Collections), err)
	}
	policy, err := f.Policy(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	id, err := policy.Authenticate(access.Credentials{})
	if err != nil || access.Admit(id, access.Passwords) == nil {
		t.Errorf("somebody without credentials is let in to the passwords (%v)", err)
	}
}

func TestPasswords_ReportMistakes(t *testing.T) {
	for name, m := range map[string]struct{ old, new, want string }{
		"no index key":             {"index_key: passwords-index.key, ", "", "passwords.seal.index_key: missing"},
		"no seal keys":             {"keys: [passwords-seal.key]", "keys: []", "passwords.seal.keys: missing"},
		"the index of collections": {"passwords-index.key", "index.key", "passwords.seal.index_key: is a key of the collections"},
		"the seal of collections":  {"passwords-seal.key", "seal.key", "passwords.seal.keys[0]: is a key of the collections"},
		"too much work":            {"passwords:\n", "passwords:\n  argon2id: {memory: 65536, time: 64}\n", "passwords.argon2id: the number of passes"},
		"much memory":              {"passwords:\n", "passwords:\n  argon2id: {memory: 99999999}\n", "passwords.argon2id: memory and time must be"},
		"negative memory":          {"passwords:\n", "passwords:\n  argon2id: {memory: -1}\n", "passwords.argon2id: memory and time must be"},
		"many threads":             {"passwords:\n", "passwords:\n  argon2id: {threads: 257}\n", "passwords.argon2id: memory and time must be"},
		"less memory than needed":  {"passwords:\n", "passwords:\n  max_hash_memory: 1024\n", "passwords.max_hash_memory: must be from argon2id.memory"},
		"no workers":               {"passwords:\n", "passwords:\n  workers: -1\n", "passwords.workers: must be from 1"},
		"no length":                {"passwords:\n", "passwords:\n  min_length: -1\n", "passwords.min_length: must be from 1"},
		"a short life":             {"passwords:\n", "passwords:\n  reset_ttl: 59s\n", "passwords.reset_ttl: must be whole seconds"},
		"a long life":              {"passwords:\n", "passwords:\n  reset_ttl: 169h\n", "passwords.reset_ttl: must be whole seconds"},
		"no guesses":               {"passwords:\n", "passwords:\n  guesses_per_minute: -1\n", "passwords.guesses_per_minute: must be from 1"},
		"a collection's name":      {sessions, "- name: passwords\n    path: /other/v1\n    table: other\n  - name: sessions", "collections[0].name: passwords is the name"},
		"a collection's path":      {sessions, sessions + "\n    path: /passwords/v1", "collections[0].path: /passwords/v1 is the path"},
		"an open audience":         {"passwords: [{certificate: true}]", "passwords: [{network: [10.0.0.0/8]}]", "audiences.passwords[0]: a network does not authenticate"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(withPasswords, m.old, m.new, 1)
			if text == withPasswords {
				t.Fatalf("%q is not in the configuration", m.old)
			}
			if got := parseError(t, text); !strings.Contains(got, m.want) {
				t.Errorf("got\n%s\nwant %s", got, m.want)
			}
		})
	}
}
