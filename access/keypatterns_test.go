package access

import (
	"strings"
	"testing"
)

func TestKeyPatterns_Match(t *testing.T) {
	for _, test := range []struct {
		patterns []string
		key      Key
		want     bool
	}{
		{nil, "", false},
		{nil, "k", false},
		{[]string{"*:lock"}, "enwiki:MWSession:1:lock", true},
		{[]string{"*:lock"}, "enwiki:MWSession:1", false},
		{[]string{"*:lock"}, "enwiki:MWSession:1:lock2", false},
		{[]string{"a", "b*"}, "a", true},
		{[]string{"a", "b*"}, "bc", true},
		{[]string{"a", "b*"}, "ac", false},
	} {
		k, err := ParseKeyPatterns("p", test.patterns)
		if err != nil {
			t.Errorf("%q: %v", test.patterns, err)
		}
		if got := k.Match(test.key); got != test.want {
			t.Errorf("%q, key %q: %v, want %v", test.patterns, test.key, got, test.want)
		}
	}
}

func TestParseKeyPatterns_Rejects(t *testing.T) {
	for _, s := range []string{"", "{cn}:*", "{1}:*", "{x}", "a{"} {
		k, err := ParseKeyPatterns("p", []string{"a", s})
		if err == nil || !strings.HasPrefix(err.Error(), "p[1]: ") {
			t.Errorf("%q: error %v, want one of p[1]", s, err)
		}
		if k.Match("a") {
			t.Errorf("%q: with an error, the patterns match a key", s)
		}
	}
}
