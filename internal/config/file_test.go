package config

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse_FindsAllMistakesAtOnce(t *testing.T) {
	err := parseError(t, "listen: x\nlog_level: loud\nlimit: {}\nclients:\n  - name: a\n    limits: {max_in_flight: many}\nshutdown: {drain: }\n")
	for _, line := range []string{
		"u.yaml:1: listen: ", "u.yaml:1: cassandra.hosts: ", "u.yaml:1: collections: ", "u.yaml:2: log_level: ",
		`u.yaml:3: there is no field "limit"`, "u.yaml:5: clients[0]: ", "u.yaml:5: clients[0].grants: ",
		"u.yaml:6: clients[0].limits.max_in_flight: ", "u.yaml:7: shutdown.drain: ",
	} {
		if !strings.Contains(err, line) {
			t.Errorf("nothing begins with %s:\n%s", line, err)
		}
	}
	lines := strings.Split(err, "\n")
	if !slices.IsSortedFunc(lines, func(a, b string) int { return cmp.Compare(a[:len("u.yaml:1")], b[:len("u.yaml:1")]) }) {
		t.Errorf("the mistakes are not in the order of lines:\n%s", err)
	}
}

func TestParse_RejectsSecondDocument(t *testing.T) {
	testMistakes(t, []mistake{
		{"two documents", sessions, sessions + "\n---\nx: hunter2", "u.yaml: the file has more than one document; remove the --- line and what follows"},
	})
}

func TestParse_RejectsEmptyFile(t *testing.T) {
	for _, text := range []string{"", "\n\n", "# only a comment\n"} {
		if err := parseError(t, text); err != "u.yaml: the file is empty" {
			t.Errorf("%q: %s", text, err)
		}
	}
}

func TestLoad_RejectsFileThatEverybodyMayWrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), "u.yaml")
	if err := os.WriteFile(name, []byte("x: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name); err == nil || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("got error %v, want one that says how to change the mode", err)
	}
}

// FuzzParse checks that every text gives either an error that begins with the file's name or a configuration with a policy.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(example), minimal, "", "---\n---\n", "[]", "a: &a [*a]", "a: &a {<<: *a}", "\x00", "\xff", "? : ?", "!!binary x", "clients: [{tokens: [{networks: [\"\"]}]}]",
		strings.Replace(minimal, "- name: sessions", "- name: sessions\n  - {name: b, path: /sessions}", 1),
		strings.Replace(minimal, "- name: sessions", "- {name: b, path: /healthz}\n  - name: sessions", 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("u.yaml", []byte(text))
		if err != nil {
			if c != nil || !strings.HasPrefix(err.Error(), "u.yaml:") {
				t.Fatalf("configuration %v, error %v", c, err)
			}
			return
		}
		policy, err := c.Policy(time.Now)
		if err != nil || policy == nil || len(c.Clients) == 0 {
			t.Fatalf("no access rules: %v", err)
		}
	})
}
