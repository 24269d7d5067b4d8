package main

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"userinfo/api"
	"userinfo/store"
)

func TestALineIsTheFieldsOrOfWhatItWouldBeIn(t *testing.T) {
	const text = `# a comment
a: 1

b:
  c: 2
  list:
    - x
    - d: 3
      e: [4,
        5]
flow: {f: 6, g: {h: 7}}
anchor: &it
  i: 8
alias: *it
"quoted": 9
`
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path string
		line int
	}{
		{"a", 2}, {"b", 4}, {"b.c", 5}, {"b.list", 6}, {"b.list[0]", 7}, {"b.list[1]", 8}, {"b.list[1].d", 8}, {"b.list[1].e", 9}, {"b.list[1].e[1]", 10},
		{"flow.g.h", 11}, {"quoted", 15},
		{"none", 2}, {"b.none", 4}, {"b.list[9]", 6}, {"b.list[1].none", 8}, {"b.list.x", 6}, {"a.below", 2}, {"alias.i", 14}, {"", 2}, {"[0]", 2}, {"b.list[-1]", 6},
	} {
		if got := lineOf(&root, test.path); got != test.line {
			t.Errorf("%q: line %d; want %d", test.path, got, test.line)
		}
	}
	if got := lineOf(new(yaml.Node), "a"); got != 1 {
		t.Errorf("in an empty file: line %d; want 1", got)
	}
}

// FuzzParseConfig: whatever the text, there is an error that names the file, or a configuration with which a service
// can begin.
func FuzzParseConfig(f *testing.F) {
	example, err := os.ReadFile("../../deploy/userinfo.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(example), minimal, "", "---\n---\n", "[]", "a: &a [*a]", "\x00", "\xff", "? : ?", "!!binary x", "clients: [{tokens: [{networks: [\"\"]}]}]",
		strings.Replace(minimal, "- name: sessions", "- name: sessions\n  - {name: b, path: /sessions}", 1),
		strings.Replace(minimal, "- name: sessions", "- {name: b, path: /healthz}\n  - name: sessions", 1),
	} {
		f.Add(seed)
	}
	keys, err := newKeys()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseConfig("u.yaml", []byte(text))
		if err != nil {
			if c != nil || !strings.HasPrefix(err.Error(), "u.yaml:") {
				t.Fatalf("configuration %v, error %v", c, err)
			}
			return
		}
		policy, err := c.policy(time.Now)
		if err != nil || policy == nil || len(c.Clients) == 0 {
			t.Fatalf("no access rules: %v", err)
		}
		registry, log := prometheus.NewRegistry(), slog.New(slog.NewTextHandler(io.Discard, nil))
		s := &service{config: c, files: &files{keys: keys}, log: log, metrics: store.NewMetrics(registry)}
		collections, ready := s.collections(store.NewMemory(1, time.Now).Collection)
		api.New(api.Config{Collections: collections, Ready: ready, Registry: registry, Log: log, Now: time.Now}) // panics on routes that clash
	})
}
