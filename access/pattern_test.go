package access

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPattern_Matches(t *testing.T) {
	for _, test := range []struct {
		pattern, cn, key string
		want             bool
	}{
		{"*", "", "", true}, // Authorize rejects an empty key before it is matched
		{"*", "", "anything\x00\xff", true},
		{"a", "", "a", true},
		{"a", "", "ab", false},
		{"a", "", "A", false},
		{"a*", "", "a", true},
		{"a*", "", "ba", false},
		{"*a", "", "bca", true},
		{"*a", "", "ab", false},
		{"a*a", "", "a", false}, // the two literals must not share a byte
		{"a*a", "", "aa", true},
		{"a*b*c", "", "a-b-b-c", true},
		{"a*b*c", "", "a-c-b", false},
		{"a**c", "", "ac", true},
		{"*ab*", "", "aab", true},
		{"a.c", "", "abc", false},
		{"a?c", "", "abc", false},
		{"[ab]", "", "a", false},
		{`a\*`, "", "a*", false},
		{`a\*`, "", `a\*`, true},
		{"{cn}:*", "enwiki", "enwiki:1", true},
		{"{cn}:*", "enwiki", "enwiki2:1", false},
		{"{cn}:*", "", ":1", false},
		{"{cn}:*", "", "{cn}:1", false},
		{"{cn}:*", "*", "enwiki:1", false},
		{"{cn}:*", "a*", "ab:1", false},
		{"{cn}:*", "a*", "a*:1", true},
		{"{cn}:*", "{cn}", "{cn}:1", true},
		{"{cn}*{cn}", "ab", "abab", true},
		{"{cn}*{cn}", "aba", "ababa", false},
		{"*:{cn}", "enwiki", "1:enwiki", true},
		{"*{cn}*", "", "x", false},
		{"*:{cn}:*", "x", "a:x:b", true},
	} {
		p, err := parsePattern(test.pattern)
		if err != nil {
			t.Errorf("%q: %v", test.pattern, err)
			continue
		}
		if got := p.matches(test.key, names{common: test.cn}); got != test.want {
			t.Errorf("%q with common name %q, key %q: %v; want %v", test.pattern, test.cn, test.key, got, test.want)
		}
	}
}

func TestParsePattern_RejectsStrayBraces(t *testing.T) {
	for _, s := range []string{"", "{", "}", "{}", "{CN}", "{ cn }", "{dn}", "{cn", "cn}", "{c{cn}n}", "{{cn}}", "*{", "{0}", "{10}", "{1", "{1}}"} {
		if _, err := parsePattern(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestPattern_ZeroValueMatchesNothing(t *testing.T) {
	for _, key := range []string{"", "a", "*"} {
		if (pattern{}).matches(key, names{common: "cn"}) {
			t.Errorf("the zero pattern matched %q", key)
		}
	}
}

// matchesSlowly is the definition of a match: it tries every length for every star. A token is a byte, or -1 for a star, or -2
// for {cn}.
func matchesSlowly(tokens []int, cn, key string) bool {
	const star, name = -1, -2
	if len(tokens) == 0 {
		return key == ""
	}
	switch t := tokens[0]; t {
	case star:
		for i := 0; i <= len(key); i++ {
			if matchesSlowly(tokens[1:], cn, key[i:]) {
				return true
			}
		}
		return false
	case name:
		return cn != "" && strings.HasPrefix(key, cn) && matchesSlowly(tokens[1:], cn, key[len(cn):])
	default:
		return key != "" && int(key[0]) == t && matchesSlowly(tokens[1:], cn, key[1:])
	}
}

func tokens(s string) []int {
	var all []int
	for s != "" {
		switch {
		case strings.HasPrefix(s, "{cn}"):
			all, s = append(all, -2), s[len("{cn}"):]
		case s[0] == '*':
			all, s = append(all, -1), s[1:]
		default:
			all, s = append(all, int(s[0])), s[1:]
		}
	}
	return all
}

// expectedMatch adds the rule that a pattern with {cn} matches nothing without a common name, even after a star.
func expectedMatch(s, cn, key string) bool {
	return !(cn == "" && strings.Contains(s, "{cn}")) && matchesSlowly(tokens(s), cn, key)
}

func TestPattern_MatchesLikeItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", ":", "*", "{cn}"}), 1, 7).Draw(t, "pattern"), "")
		cn := rapid.StringMatching(`[ab*]{0,2}`).Draw(t, "cn")
		key := rapid.StringMatching(`[ab:*]{0,9}`).Draw(t, "key")
		p, err := parsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := p.matches(key, names{common: cn}), expectedMatch(s, cn, key); got != want {
			t.Fatalf("matches = %v; want %v", got, want)
		}
	})
}

func TestPattern_MatchesKeysMadeFromIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cn := rapid.StringN(1, 5, -1).Draw(t, "cn")
		var s, key strings.Builder
		for _, part := range rapid.SliceOfN(rapid.SampledFrom([]string{"*", "{cn}", "literal"}), 1, 6).Draw(t, "parts") {
			s.WriteString(part)
			switch part {
			case "*":
				key.WriteString(rapid.String().Draw(t, "run"))
			case "{cn}":
				key.WriteString(cn)
			default:
				key.WriteString(part)
			}
		}
		p, err := parsePattern(s.String())
		if err != nil {
			t.Fatal(err)
		}
		if !p.matches(key.String(), names{common: cn}) {
			t.Fatalf("%q with common name %q does not match %q", s.String(), cn, key.String())
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, seed := range [][3]string{
		{"*", "", "k"}, {"enwiki:*", "", "enwiki:1"}, {"{cn}:*", "wiki", "wiki:1"}, {"a*b*a", "", "aba"}, {"{cn}*{cn}", "aa", "aaa"},
		{"{c{cn}n}", "x", "x"}, {"*\xff*", "\xff", "\xff\xff"}, {"{1}:*", "", "{1}:x"}, {"{cn}{1}", "a", "a"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, s, cn, key string) {
		p, err := parsePattern(s)
		if err != nil {
			return
		}
		got := p.matches(key, names{common: cn})
		if p.stars() > 0 {
			if got {
				t.Fatalf("%q matched %q without a value for {1} to {9}", s, key)
			}
			return
		}
		if strings.Count(s, "*") > 4 || len(key) > 40 {
			return // matchesSlowly would take too long
		}
		if want := expectedMatch(s, cn, key); got != want {
			t.Fatalf("%q with common name %q, key %q: %v; want %v", s, cn, key, got, want)
		}
	})
}
