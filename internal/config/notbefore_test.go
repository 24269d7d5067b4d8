package config

import (
	"strings"
	"testing"
	"time"
)

// withNotBefore adds a rule to the collection of a configuration.
func withNotBefore(text string, at time.Time) string {
	return strings.Replace(text, sessions, sessions+"\n    not_before: [{keys: ['enwiki:*'], time: "+at.Format(time.RFC3339)+"}]", 1)
}

func TestReloader_NotBefore(t *testing.T) {
	r := newTestReloader(t)
	if rules := r.Current().NotBefore["sessions"]; len(rules) != 0 {
		t.Errorf("at first: %v", rules)
	}
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	r.writeConfig(withNotBefore(r.common, at) + client(oldToken))
	r.tick(false)
	r.tick(true)
	rules := r.Current().NotBefore["sessions"]
	if len(rules) != 1 || !rules[0].Time.Equal(at) || !rules[0].Keys.Match("enwiki:k") || rules[0].Keys.Match("dewiki:k") {
		t.Errorf("after a reload: %v", rules)
	}
	r.writeConfig(withNotBefore(r.common, time.Now().Add(time.Hour)) + client(oldToken))
	r.Reload(true)
	if err := r.logged["clients"]; !strings.Contains(err, "collections[0].not_before[0].time: is in the future") {
		t.Errorf("error %q", err)
	}
	if got := r.Current().NotBefore["sessions"]; len(got) != 1 || !got[0].Time.Equal(at) {
		t.Errorf("after a failed reload: %v", got)
	}
}

func TestOpen_RefusesNotBeforeInTheFuture(t *testing.T) {
	_, err := openMinimal(t, func(_, text string) string { return withNotBefore(text, time.Now().Add(time.Hour)) })
	if err == nil || !strings.Contains(err.Error(), "collections[0].not_before[0].time: is in the future") {
		t.Errorf("got %v", err)
	}
}

func TestNotBefore_MatchesEveryKeyByDefault(t *testing.T) {
	rule, err := NotBefore{Time: "2026-11-29T06:00:00Z"}.rule("")
	if err != nil || !rule.Keys.Match("any") {
		t.Errorf("got %v, %v", rule, err)
	}
}
