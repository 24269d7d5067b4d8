package store

import (
	"errors"
	"testing"
	"time"

	"userinfo/access"
)

func TestNotBefore_EndsOlderValues(t *testing.T) {
	at := time.Date(2026, 11, 29, 6, 0, 0, 0, time.UTC)
	everything, one := notBefore(t, at, "*"), notBefore(t, at, "enwiki:*")
	for _, test := range []struct {
		name      string
		rules     []NotBefore
		key       access.Key
		timestamp int64
		want      bool
	}{
		{"no rules", nil, "k", 0, false},
		{"a rule for no key", []NotBefore{{Time: at}}, "k", 0, false},
		{"set before", []NotBefore{everything}, "k", at.UnixMicro() - 1, true},
		{"set at that time", []NotBefore{everything}, "k", at.UnixMicro(), false},
		{"without a timestamp", []NotBefore{everything}, "k", 0, true},
		{"another key", []NotBefore{one}, "dewiki:k", 0, false},
		{"the second rule", []NotBefore{one, notBefore(t, at.Add(time.Hour), "*")}, "dewiki:k", at.UnixMicro(), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := isEnded(test.rules, test.key, test.timestamp); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func notBefore(t *testing.T, at time.Time, patterns ...string) NotBefore {
	t.Helper()
	keys, err := access.ParseKeyPatterns("", patterns)
	if err != nil {
		t.Fatal(err)
	}
	return NotBefore{keys, at}
}

func TestCollection_NotBefore(t *testing.T) {
	for _, layout := range []Layout{LayoutUserInfo, LayoutKask} {
		t.Run(string(layout), func(t *testing.T) {
			ctx := t.Context()
			var rules []NotBefore
			c := newTestCollection(t, NewMemory(1<<20, time.Now), time.Minute, 0)
			c.config.Layout = layout
			c.notBefore = func() []NotBefore { return rules }
			set := func() {
				t.Helper()
				if err := c.Set(ctx, newCaller(t, access.Set, testKey), testKey, []byte("value"), time.Hour); err != nil {
					t.Fatal(err)
				}
			}
			want := func(when string, want error) {
				t.Helper()
				if err := c.Touch(ctx, newCaller(t, access.Touch, testKey), testKey, time.Hour); !errors.Is(err, want) {
					t.Errorf("%s: touch: %v, want %v", when, err, want)
				}
				if _, err := c.Get(ctx, newCaller(t, access.Get, testKey), testKey); !errors.Is(err, want) {
					t.Errorf("%s: get: %v, want %v", when, err, want)
				}
			}
			set()
			want("without a rule", nil)
			rules = []NotBefore{notBefore(t, time.Now().Add(time.Millisecond), "other:*")}
			want("with a rule for other keys", nil)
			rules = []NotBefore{notBefore(t, time.Now().Add(time.Millisecond), "*")}
			want("after the value", ErrNotFound)
			rules = []NotBefore{notBefore(t, time.Now(), "*")}
			set()
			want("set again", nil)
		})
	}
}
