package storetest

import (
	"errors"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

func ttls(t *testing.T, s *suite) {
	for _, c := range []struct {
		name string
		ttl  time.Duration
		want error
	}{
		{"none", 0, store.ErrTTL},
		{"negative", -time.Second, store.ErrTTL},
		{"less than a second", 999 * time.Millisecond, store.ErrTTL},
		{"a minute", time.Minute, nil},
		{"the longest", MaxTTL, nil},
		{"longer than the longest", MaxTTL + time.Second, store.ErrTTL},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := s.instance(t, with{})
			key, touched := newKey(), newKey()
			i.mustSet(touched, "v", 30*time.Second)
			i.want(i.set(key, "v", c.ttl), c.want)
			i.want(i.touch(touched, c.ttl), c.want)
			if c.want != nil {
				i.wantAbsent(key)
				return
			}
			for _, k := range []access.Key{key, touched} {
				if left := i.wantValue(k, "v").TTL; left > c.ttl || left < c.ttl-5*time.Second {
					t.Errorf("%v are left of %v", left, c.ttl)
				}
			}
		})
	}
	t.Run("one that ends after 2038", func(t *testing.T) {
		i := s.instance(t, with{ahead: time.Until(time.Unix(1<<31, 0))})
		i.want(i.set(newKey(), "v", time.Minute), store.ErrTTL)
	})
}

func expiry(t *testing.T, s *suite) {
	const ttl = 3 * time.Second
	for _, layout := range []store.Layout{store.LayoutUserInfo, store.LayoutKask} {
		for name, give := range map[string]func(i *instance, key access.Key){
			"a set":   func(i *instance, key access.Key) { i.mustSet(key, "v", ttl) },
			"a touch": func(i *instance, key access.Key) { i.mustSet(key, "v", time.Hour); i.want(i.touch(key, ttl), nil) },
			"a set, though touched within its slack": func(i *instance, key access.Key) {
				i.mustSet(key, "v", ttl)
				i.want(i.touch(key, ttl), nil)
			},
		} {
			t.Run("a value lives for the TTL of "+name+", and not a second longer, layout "+string(layout), func(t *testing.T) {
				t.Parallel()
				expires(s.instance(t, with{layout: layout, slack: store.MaxTouchSlack}), ttl, give)
			})
		}
	}
	t.Run("an expired value cannot be touched back to life", func(t *testing.T) {
		t.Parallel()
		i := s.instance(t, with{})
		key := newKey()
		i.mustSet(key, "v", time.Second)
		await(t, 5*time.Second, "expiry", func() bool {
			_, err := i.get(key)
			return errors.Is(err, store.ErrNotFound)
		})
		i.want(i.touch(key, time.Hour), store.ErrNotFound)
		i.wantAbsent(key)
	})
	t.Run("the longest TTL ends when Cassandra's dates do", func(t *testing.T) {
		i := s.instance(t, with{maxTTL: store.LargestTTL})
		const margin = time.Minute // in which the sets are made
		longest := time.Until(time.Unix(1<<31-2, 0)).Truncate(time.Second) - margin
		for _, layout := range []store.Layout{store.LayoutUserInfo, store.LayoutKask} {
			i := s.instance(t, with{maxTTL: store.LargestTTL, layout: layout})
			set, touched := newKey(), newKey()
			i.mustSet(set, "v", longest)
			i.mustSet(touched, "v", time.Minute)
			i.want(i.touch(touched, longest), nil)
			for _, key := range []access.Key{set, touched} {
				if left := i.wantValue(key, "v").TTL; left > longest || left < longest-5*time.Second {
					t.Errorf("%v are left of %v", left, longest)
				}
				i.want(i.delete(key), nil)
				i.wantAbsent(key)
			}
		}
		for _, ttl := range []time.Duration{longest + margin + 2*time.Second, store.LargestTTL} {
			key := newKey()
			i.want(i.set(key, "v", ttl), store.ErrTTL)
			i.wantAbsent(key)
		}
	})
}

// expires reads a value that give has given ttl until it is gone.
func expires(i *instance, ttl time.Duration, give func(*instance, access.Key)) {
	i.Helper()
	key := newKey()
	before := time.Now()
	give(i, key)
	after := time.Now()
	for {
		asked := time.Now()
		_, err := i.get(key)
		if answered := time.Now(); errors.Is(err, store.ErrNotFound) {
			if answered.Before(before.Add(ttl - time.Second)) { // Cassandra counts whole seconds
				i.Errorf("absent %v after the write", answered.Sub(before))
			}
			return
		}
		i.want(err, nil)
		if asked.After(after.Add(ttl + time.Second)) {
			i.Fatalf("read %v after the write", asked.Sub(after))
		}
		time.Sleep(10 * time.Millisecond)
	}
}
