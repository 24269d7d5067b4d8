package storetest

import (
	"errors"
	"testing"
	"time"

	"userinfo/store"
	"userinfo/store/seal"
)

func testTouch(t *testing.T, s *suite) {
	t.Run("lengthens the TTL", func(t *testing.T) {
		t.Parallel()
		i := s.instance(t, settings{})
		key := newKey()
		start := time.Now()
		i.mustSet(key, "v", 2*time.Second)
		i.want(i.touch(key, time.Hour), nil)
		if left := i.wantValue(key, "v").TTL; left < 59*time.Minute {
			t.Errorf("the TTL is %v, want an hour", left)
		}
		await(t, 10*time.Second, "the end of the first TTL", func() bool { return time.Since(start) > 4*time.Second })
		i.wantValue(key, "v")
	})
	t.Run("shortens the TTL", func(t *testing.T) {
		t.Parallel()
		i := s.instance(t, settings{})
		key := newKey()
		i.mustSet(key, "v", time.Hour)
		i.want(i.touch(key, time.Second), nil)
		await(t, 5*time.Second, "expiry", func() bool {
			_, err := i.get(key)
			return errors.Is(err, store.ErrNotFound)
		})
	})
	t.Run("concurrent", func(t *testing.T) { testTouchConcurrent(t, s) })
	t.Run("slack", func(t *testing.T) { testTouchSlack(t, s) })
	t.Run("seals again with the newest key", func(t *testing.T) { testTouchSealsAgain(t, s) })
}

// testTouchConcurrent runs another operation before or during a touch. The other clock is behind, equal or ahead.
func testTouchConcurrent(t *testing.T, s *suite) {
	for _, ahead := range []time.Duration{-10 * time.Second, 0, 10 * time.Second} {
		t.Run("a set during a touch wins, clock "+signed(ahead), func(t *testing.T) {
			key := newKey()
			// With a clock behind, the second set would lose against the first set, which is not under test here.
			other := s.instance(t, settings{ahead: max(ahead, 0)})
			i := s.instance(t, settings{beforeWrite: func() { other.mustSet(key, "new", time.Hour) }})
			s.instance(t, settings{}).mustSet(key, "old", time.Minute)
			i.want(i.touch(key, 2*time.Hour), nil)
			if left := i.wantValue(key, "new").TTL; left > time.Hour {
				t.Errorf("the TTL is %v, want the hour of the set", left)
			}
		})
		t.Run("a delete during a touch wins, clock "+signed(ahead), func(t *testing.T) {
			key := newKey()
			other := s.instance(t, settings{ahead: ahead})
			i := s.instance(t, settings{beforeWrite: func() { other.want(other.delete(key), nil) }})
			s.instance(t, settings{}).mustSet(key, "old", time.Minute)
			i.want(i.touch(key, time.Hour), nil)
			i.wantNotFound(key)
		})
		t.Run("a touch after a delete finds nothing, clock "+signed(ahead), func(t *testing.T) {
			key := newKey()
			i := s.instance(t, settings{})
			i.mustSet(key, "old", time.Minute)
			i.want(i.delete(key), nil)
			late := s.instance(t, settings{ahead: ahead})
			late.want(late.touch(key, time.Hour), store.ErrNotFound)
			i.wantNotFound(key)
		})
	}
	for name, ttl := range map[string]struct{ outer, inner time.Duration }{
		"it writes first": {outer: 1 * time.Hour, inner: 2 * time.Hour}, "it writes last": {outer: 2 * time.Hour, inner: 1 * time.Hour},
	} {
		t.Run("of two touches the one with the longer TTL wins, "+name, func(t *testing.T) {
			key := newKey()
			other := s.instance(t, settings{})
			i := s.instance(t, settings{beforeWrite: func() { other.want(other.touch(key, ttl.inner), nil) }})
			other.mustSet(key, "v", time.Minute)
			i.want(i.touch(key, ttl.outer), nil)
			if left := i.wantValue(key, "v").TTL; left < 119*time.Minute {
				t.Errorf("the TTL is %v, want two hours", left)
			}
		})
	}
}

// skipped returns how many touches of an instance wrote nothing.
func (i *instance) skipped() (n float64) {
	i.Helper()
	families, err := i.metrics.Gather()
	if err != nil {
		i.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "userinfo_store_touches_skipped_total" {
			n += f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return n
}

func testTouchSlack(t *testing.T, s *suite) {
	for _, c := range []struct {
		name     string
		slack    float64
		set      time.Duration // the TTL of the set
		touch    time.Duration // the TTL of the touch, which follows at once
		wantSkip bool
	}{
		{"the remaining TTL", 0.01, 1000 * time.Second, 1000 * time.Second, true},
		{"a little more", 0.01, 1000 * time.Second, 1005 * time.Second, true},
		{"a little less", 0.01, 1000 * time.Second, 994 * time.Second, true},
		{"more", 0.01, 1000 * time.Second, 1020 * time.Second, false},
		{"less", 0.01, 1000 * time.Second, 980 * time.Second, false},
		{"half more, with the largest slack", store.MaxTouchSlack, 1000 * time.Second, 1500 * time.Second, true},
		{"the remaining TTL, without slack", 0, 1000 * time.Second, 1000 * time.Second, false},
		{"the remaining TTL, if the slack is less than a second", 0.01, time.Minute, time.Minute, false},
	} {
		for _, layout := range []store.Layout{store.LayoutUserInfo, store.LayoutKask} {
			t.Run(c.name+", layout "+string(layout), func(t *testing.T) {
				t.Parallel()
				i := s.instance(t, settings{slack: c.slack, layout: layout})
				key := newKey()
				i.mustSet(key, "v", c.set)
				i.want(i.touch(key, c.touch), nil)
				if got := i.skipped() == 1; got != c.wantSkip {
					t.Errorf("skipped: %v, want %v", got, c.wantSkip)
				}
				want := c.touch
				if c.wantSkip {
					want = c.set
				}
				if left := i.wantValue(key, "v").TTL; left > want || left < want-5*time.Second {
					t.Errorf("the TTL is %v, want %v", left, want)
				}
			})
		}
	}
	t.Run("a missing value is not found", func(t *testing.T) {
		i := s.instance(t, settings{slack: store.MaxTouchSlack})
		i.want(i.touch(newKey(), time.Hour), store.ErrNotFound)
		if n := i.skipped(); n != 0 {
			t.Errorf("%v touches were skipped, want none", n)
		}
	})
}

// testTouchSealsAgain rotates the seal key. The first touch must write, although the TTL is right.
func testTouchSealsAgain(t *testing.T, s *suite) {
	index, seals := newKeys(t, 2)
	keys, err := seal.NewKeys(index, seals[:1])
	if err != nil {
		t.Fatal(err)
	}
	rotate := func(seals ...seal.SealKey) {
		if keys, err = keys.Replace(index, seals); err != nil {
			t.Fatal(err)
		}
	}
	i := s.instance(t, settings{slack: store.MaxTouchSlack, keys: func() *seal.Keys { return keys }})
	key := newKey()
	i.mustSet(key, "v", time.Hour)
	rotate(seals[1], seals[0])
	for range 2 {
		i.want(i.touch(key, time.Hour), nil)
	}
	if n := i.skipped(); n != 1 {
		t.Errorf("%v touches were skipped, want only the second", n)
	}
	rotate(seals[1])
	i.wantValue(key, "v")
}
