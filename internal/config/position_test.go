package config

import (
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestLineOf_ReturnsLineOfFieldOrOfInnermostPresentField(t *testing.T) {
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
	root, err := parseYAML("u.yaml", []byte(text))
	if err != nil {
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
		if got := lineOf(root, test.path); got != test.line {
			t.Errorf("%q: line %d; want %d", test.path, got, test.line)
		}
	}
	if got := lineOf(new(yaml.Node), "a"); got != 1 {
		t.Errorf("in an empty file: line %d; want 1", got)
	}
}
