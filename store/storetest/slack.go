package storetest

import (
	"crypto/rand"
	"testing"
	"time"

	"userinfo/store"
)

// skipped is how many touches of an instance wrote nothing.
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

// touchSaves touches a value that was just set to live for 1,000 s, give or take a second.
func touchSaves(t *testing.T, s *suite) {
	for _, c := range []struct {
		name    string
		slack   float64
		lived   time.Duration // the TTL of the set
		asked   time.Duration
		skipped float64
	}{
		{"as much as is left", 0.01, 1000 * time.Second, 1000 * time.Second, 1},
		{"a little more", 0.01, 1000 * time.Second, 1005 * time.Second, 1},
		{"a little less", 0.01, 1000 * time.Second, 994 * time.Second, 1},
		{"more", 0.01, 1000 * time.Second, 1020 * time.Second, 0},
		{"less", 0.01, 1000 * time.Second, 980 * time.Second, 0},
		{"half more, with the largest slack", store.MaxTouchSlack, 1000 * time.Second, 1500 * time.Second, 1},
		{"as much as is left, where every touch writes", 0, 1000 * time.Second, 1000 * time.Second, 0},
		{"as much as is left, of a life too short to tell", 0.01, time.Minute, time.Minute, 0},
	} {
		for _, layout := range []store.Layout{store.LayoutUserInfo, store.LayoutKask} {
			t.Run(c.name+", layout "+string(layout), func(t *testing.T) {
				t.Parallel()
				i := s.instance(t, with{slack: c.slack, layout: layout})
				key := newKey()
				i.mustSet(key, "v", c.lived)
				i.want(i.touch(key, c.asked), nil)
				if got := i.skipped(); got != c.skipped {
					t.Errorf("%v touches wrote nothing, want %v", got, c.skipped)
				}
				lives := c.asked
				if c.skipped > 0 {
					lives = c.lived
				}
				if left := i.wantValue(key, "v").TTL; left > lives || left < lives-5*time.Second {
					t.Errorf("%v are left, want %v", left, lives)
				}
			})
		}
	}
	t.Run("a value that is not there is not found", func(t *testing.T) {
		i := s.instance(t, with{slack: store.MaxTouchSlack})
		i.want(i.touch(newKey(), time.Hour), store.ErrNotFound)
		if got := i.skipped(); got != 0 {
			t.Errorf("%v touches wrote nothing, want none", got)
		}
	})
	t.Run("one sealed with an older key is sealed anew", func(t *testing.T) { touchReseals(t, s) })
}

// touchReseals rotates the seal key under a value that is touched with the TTL that it has.
func touchReseals(t *testing.T, s *suite) {
	index, err := store.NewIndexKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var seals [2]store.SealKey
	for n := range seals {
		if seals[n], err = store.NewSealKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := store.NewKeys(index, seals[:1])
	if err != nil {
		t.Fatal(err)
	}
	rotate := func(seals ...store.SealKey) {
		if _, err := keys.Rotate(index, seals); err != nil {
			t.Fatal(err)
		}
	}
	i := s.instance(t, with{slack: store.MaxTouchSlack, keys: keys})
	key := newKey()
	i.mustSet(key, "v", time.Hour)
	rotate(seals[1], seals[0])
	for range 2 {
		i.want(i.touch(key, time.Hour), nil)
	}
	if got := i.skipped(); got != 1 {
		t.Errorf("%v touches wrote nothing, want the second alone", got)
	}
	rotate(seals[1])
	i.wantValue(key, "v")
}
