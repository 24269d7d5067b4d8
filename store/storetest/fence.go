package storetest

import (
	"fmt"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

func testFence(t *testing.T, s *suite) {
	clocks := []time.Duration{-10 * time.Second, 0, 10 * time.Second}
	for _, setter := range clocks {
		for _, deleter := range clocks {
			t.Run(fmt.Sprintf("clock of the set %s, of the delete %s", signed(setter), signed(deleter)), func(t *testing.T) {
				testSetAndDelete(t, s, setter, deleter)
			})
		}
	}
	t.Run("a value from a clock that is ahead by more than the fence is deleted", func(t *testing.T) {
		key := newKey()
		s.instance(t, settings{ahead: time.Hour}).mustSet(key, "from the future", time.Hour)
		i := s.instance(t, settings{})
		i.want(i.delete(key), nil)
		i.wantNotFound(key)
	})
	t.Run("the key can be set again after the fence", func(t *testing.T) {
		t.Parallel()
		i := s.instance(t, settings{fence: time.Second})
		key := newKey()
		i.want(i.delete(key), nil)
		i.want(i.set(key, "too early", time.Hour), store.ErrDeleted)
		await(t, 20*time.Second, "the end of the fence", func() bool { return i.set(key, "again", time.Hour) == nil })
		i.wantValue(key, "again")
	})
	t.Run("without a fence the key can be set at once", func(t *testing.T) {
		i := s.instance(t, settings{noFence: true})
		key := newKey()
		i.mustSet(key, "first", time.Hour)
		i.want(i.delete(key), nil)
		i.wantNotFound(key)
		i.mustSet(key, "second", time.Hour)
		i.wantValue(key, "second")
	})
}

// testFenceExempt tests keys that end in :lock, which have no fence.
func testFenceExempt(t *testing.T, s *suite) {
	exempt, err := access.ParseKeyPatterns("", []string{"*:lock"})
	if err != nil {
		t.Fatal(err)
	}
	for _, layout := range []store.Layout{store.LayoutUserInfo, store.LayoutKask} {
		with := settings{layout: layout, exempt: exempt}
		t.Run("layout "+string(layout)+", the key can be set at once", func(t *testing.T) {
			i, other := s.instance(t, with), s.instance(t, settings{layout: layout})
			key := newKey() + ":lock"
			for _, value := range []string{"first", "second", "third"} {
				i.mustSet(key, value, time.Hour)
				i.wantValue(key, value)
				other.wantValue(key, value)
				i.want(i.delete(key), nil)
				i.wantNotFound(key)
			}
		})
		t.Run("layout "+string(layout)+", a set that is older than the delete stays hidden", func(t *testing.T) {
			key := newKey() + ":lock"
			i := s.instance(t, with)
			with := with
			with.beforeWrite = func() { i.want(i.delete(key), nil) }
			late := s.instance(t, with)
			late.want(late.set(key, "late", time.Hour), nil)
			i.wantNotFound(key)
		})
		t.Run("layout "+string(layout)+", another key has the fence", func(t *testing.T) {
			i := s.instance(t, with)
			key := newKey() + ":lock2"
			i.mustSet(key, "v", time.Hour)
			i.want(i.delete(key), nil)
			i.want(i.set(key, "again", time.Hour), store.ErrDeleted)
		})
		t.Run("layout "+string(layout)+", a delete with a fence, before the key was exempt, keeps it", func(t *testing.T) {
			t.Parallel()
			before := s.instance(t, settings{layout: layout, fence: time.Second})
			i := s.instance(t, with)
			key := newKey() + ":lock"
			before.mustSet(key, "v", time.Hour)
			before.want(before.delete(key), nil)
			i.want(i.set(key, "too early", time.Hour), store.ErrDeleted)
			i.want(i.delete(key), nil)
			i.want(i.set(key, "still too early", time.Hour), store.ErrDeleted)
			await(t, 20*time.Second, "the end of the fence", func() bool { return i.set(key, "again", time.Hour) == nil })
			i.wantValue(key, "again")
		})
	}
}

// testSetAndDelete runs a set before, during and after a delete. setter and deleter say how far their clocks are ahead.
func testSetAndDelete(t *testing.T, s *suite, setter, deleter time.Duration) {
	deleteKey := func(key access.Key) {
		i := s.instance(t, settings{ahead: deleter})
		i.want(i.delete(key), nil)
	}
	reader := s.instance(t, settings{})
	t.Run("set before delete", func(t *testing.T) {
		key := newKey()
		s.instance(t, settings{ahead: setter}).mustSet(key, "v", time.Hour)
		deleteKey(key)
		reader.wantNotFound(key)
	})
	t.Run("set reads no marker, but writes after the delete", func(t *testing.T) {
		key := newKey()
		late := s.instance(t, settings{ahead: setter, beforeWrite: func() { deleteKey(key) }})
		late.want(late.set(key, "late", time.Hour), nil)
		reader.wantNotFound(key)
		late.want(late.touch(key, time.Hour), store.ErrNotFound)
	})
	t.Run("set after delete", func(t *testing.T) {
		key := newKey()
		deleteKey(key)
		i := s.instance(t, settings{ahead: setter})
		i.want(i.set(key, "v", time.Hour), store.ErrDeleted)
		reader.wantNotFound(key)
	})
}
