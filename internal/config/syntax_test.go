package config

import "testing"

func TestSyntaxMistake_HasLine(t *testing.T) {
	testMistakes(t, []mistake{
		{"a tab in the indentation", "  hosts:", " \thosts:", "u.yaml:4: this is not valid YAML: indent with spaces, not with tabs"},
		{"a value with a colon", "listen: 127.0.0.1:8443", "listen: a: hunter2", "u.yaml:1: this is not valid YAML: mapping value is not allowed in this context"},
		{"a value with a star", "username: userinfo", "username: *hunter2", "u.yaml:6: no anchor has this name; put quotes around a value that begins with *"},
		{"a list that does not end", "hosts: [127.0.0.1]", "hosts: [127.0.0.1", "u.yaml:5: this is not valid YAML: ',' or ']' must be specified"},
		{"wrong indentation", "  username:", " username:", "u.yaml:6: this is not valid YAML: value is not allowed in this context"},
	})
}
