package storetest

import (
	"errors"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

func testTTL(t *testing.T, s *suite) {
	for _, c := range []struct {
		name string
		ttl  time.Duration
		want error
	}{
		{"zero", 0, store.ErrTTL},
		{"negative", -time.Second, store.ErrTTL},
		{"less than a second", 999 * time.Millisecond, store.ErrTTL},
		{"a minute", time.Minute, nil},
		{"the largest", MaxTTL, nil},
		{"larger than the largest", MaxTTL + time.Second, store.ErrTTL},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := s.instance(t, settings{})
			key, touched := newKey(), newKey()
			i.mustSet(touched, "v", 30*time.Second)
			i.want(i.set(key, "v", c.ttl), c.want)
			i.want(i.touch(touched, c.ttl), c.want)
			if c.want != nil {
				i.wantNotFound(key)
				return
			}
			for _, k := range []access.Key{key, touched} {
				if left := i.wantValue(k, "v").TTL; left > c.ttl || left < c.ttl-5*time.Second {
					t.Errorf("the TTL is %v, want %v", left, c.ttl)
				}
			}
		})
	}
	t.Run("ends after 2038", func(t *testing.T) {
		i := s.instance(t, settings{ahead: time.Until(time.Unix(1<<31, 0))})
		i.want(i.set(newKey(), "v", time.Minute), store.ErrTTL)
	})
}

func testExpiry(t *testing.T, s *suite) {
	const ttl = 3 * time.Second
	for _, layout := range []store.Layout{store.LayoutUserInfo, store.LayoutKask} {
		for name, write := range map[string]func(i *instance, key access.Key){
			"set":   func(i *instance, key access.Key) { i.mustSet(key, "v", ttl) },
			"touch": func(i *instance, key access.Key) { i.mustSet(key, "v", time.Hour); i.want(i.touch(key, ttl), nil) },
			"set, and touch within its slack": func(i *instance, key access.Key) {
				i.mustSet(key, "v", ttl)
				i.want(i.touch(key, ttl), nil)
			},
		} {
			t.Run("a value lives exactly as long as its TTL, "+name+", layout "+string(layout), func(t *testing.T) {
				t.Parallel()
				wantExpiry(s.instance(t, settings{layout: layout, slack: store.MaxTouchSlack}), ttl, write)
			})
		}
	}
	t.Run("a touch does not bring an expired value back", func(t *testing.T) {
		t.Parallel()
		i := s.instance(t, settings{})
		key := newKey()
		i.mustSet(key, "v", time.Second)
		await(t, 5*time.Second, "expiry", func() bool {
			_, err := i.get(key)
			return errors.Is(err, store.ErrNotFound)
		})
		i.want(i.touch(key, time.Hour), store.ErrNotFound)
		i.wantNotFound(key)
	})
	t.Run("the largest TTL ends in 2038", func(t *testing.T) { testLargestTTL(t, s) })
}

// testLargestTTL sets values that expire at the last date that Cassandra can store, and later.
func testLargestTTL(t *testing.T, s *suite) {
	const margin = time.Minute // for the time that the test takes
	longest := time.Until(time.Unix(1<<31-2, 0)).Truncate(time.Second) - margin
	for _, layout := range []store.Layout{store.LayoutUserInfo, store.LayoutKask} {
		i := s.instance(t, settings{maxTTL: store.LargestTTL, layout: layout})
		set, touched := newKey(), newKey()
		i.mustSet(set, "v", longest)
		i.mustSet(touched, "v", time.Minute)
		i.want(i.touch(touched, longest), nil)
		for _, key := range []access.Key{set, touched} {
			if left := i.wantValue(key, "v").TTL; left > longest || left < longest-5*time.Second {
				t.Errorf("the TTL is %v, want %v", left, longest)
			}
			i.want(i.delete(key), nil)
			i.wantNotFound(key)
		}
	}
	i := s.instance(t, settings{maxTTL: store.LargestTTL})
	for _, ttl := range []time.Duration{longest + margin + 2*time.Second, store.LargestTTL} {
		key := newKey()
		i.want(i.set(key, "v", ttl), store.ErrTTL)
		i.wantNotFound(key)
	}
}

// wantExpiry reads a value until it has expired. write gives it the TTL.
func wantExpiry(i *instance, ttl time.Duration, write func(*instance, access.Key)) {
	i.Helper()
	key := newKey()
	before := time.Now()
	write(i, key)
	after := time.Now()
	for {
		asked := time.Now()
		_, err := i.get(key)
		if answered := time.Now(); errors.Is(err, store.ErrNotFound) {
			if answered.Before(before.Add(ttl - time.Second)) { // Cassandra counts whole seconds
				i.Errorf("not found %v after the write", answered.Sub(before))
			}
			return
		}
		i.want(err, nil)
		if asked.After(after.Add(ttl + time.Second)) {
			i.Fatalf("found %v after the write", asked.Sub(after))
		}
		time.Sleep(10 * time.Millisecond)
	}
}
