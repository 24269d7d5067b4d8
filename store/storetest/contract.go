package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

func roundTrips(t *testing.T, s *suite) {
	i := s.instance(t, with{})
	every := make([]byte, 256)
	for b := range every {
		every[b] = byte(b)
	}
	for name, key := range map[string]access.Key{
		"plain": newKey(), "every byte": access.Key(every) + newKey(), "a slash": "a/b" + newKey(), "dots": ".." + newKey(),
		"not UTF-8": "\xff\xfe" + newKey(), "NUL": "\x00" + newKey(), "the longest": newKey() + access.Key(strings.Repeat("k", 4000)),
	} {
		for what, value := range map[string]string{
			"text": "who=alice", "one byte": "\x00", "every byte": string(every), "1 MiB": strings.Repeat("v", 1<<20),
		} {
			t.Run(name+" key, "+what, func(t *testing.T) {
				i := s.instance(t, with{})
				i.mustSet(key, value, time.Hour)
				i.wantValue(key, value)
			})
		}
	}
	t.Run("a value replaces the one before", func(t *testing.T) {
		key := newKey()
		i.mustSet(key, "first, which is longer", time.Hour)
		i.mustSet(key, "second", time.Hour)
		i.wantValue(key, "second")
	})
	t.Run("keys that differ in one byte are different", func(t *testing.T) {
		key := newKey()
		i.mustSet(key+"a", "A", time.Hour)
		i.mustSet(key+"b", "B", time.Hour)
		i.wantValue(key+"a", "A")
		i.wantValue(key+"b", "B")
	})
}

func denial(t *testing.T, s *suite) {
	i := s.instance(t, with{})
	key, other := newKey(), newKey()
	i.mustSet(key, "kept", time.Hour)
	ctx := context.Background()
	for name, caller := range map[string]access.Caller{
		"the zero Caller": {}, "a Caller for another key": i.caller(access.Get, other),
	} {
		t.Run(name, func(t *testing.T) {
			i := s.instance(t, with{})
			_, err := i.store.Get(ctx, caller, key)
			i.want(err, access.ErrDenied)
			i.want(i.store.Set(ctx, caller, key, []byte("changed"), time.Hour), access.ErrDenied)
			i.want(i.store.Touch(ctx, caller, key, time.Minute), access.ErrDenied)
			i.want(i.store.Delete(ctx, caller, key), access.ErrDenied)
		})
	}
	t.Run("a Caller for another operation", func(t *testing.T) {
		i := s.instance(t, with{})
		_, err := i.store.Get(ctx, i.caller(access.Set, key), key)
		i.want(err, access.ErrDenied)
		i.want(i.store.Set(ctx, i.caller(access.Touch, key), key, []byte("changed"), time.Hour), access.ErrDenied)
		i.want(i.store.Touch(ctx, i.caller(access.Delete, key), key, time.Minute), access.ErrDenied)
		i.want(i.store.Delete(ctx, i.caller(access.Get, key), key), access.ErrDenied)
	})
	if v := i.wantValue(key, "kept"); v.TTL < 50*time.Minute {
		t.Errorf("a denied touch left %v", v.TTL)
	}
}

func absence(t *testing.T, s *suite) {
	i := s.instance(t, with{})
	key := newKey()
	i.wantAbsent(key)
	i.want(i.touch(key, time.Hour), store.ErrNotFound)
	i.wantAbsent(key)
	i.want(i.delete(key), nil)
	i.want(i.delete(key), nil)
	i.wantAbsent(key)
}

func touch(t *testing.T, s *suite) {
	t.Run("lengthens a life", func(t *testing.T) {
		t.Parallel()
		i := s.instance(t, with{})
		key := newKey()
		start := time.Now()
		i.mustSet(key, "v", 2*time.Second)
		i.want(i.touch(key, time.Hour), nil)
		if left := i.wantValue(key, "v").TTL; left < 59*time.Minute {
			t.Errorf("%v are left of an hour", left)
		}
		await(t, 10*time.Second, "the end of the first TTL", func() bool { return time.Since(start) > 4*time.Second })
		i.wantValue(key, "v")
	})
	t.Run("shortens a life", func(t *testing.T) {
		t.Parallel()
		i := s.instance(t, with{})
		key := newKey()
		i.mustSet(key, "v", time.Hour)
		i.want(i.touch(key, time.Second), nil)
		await(t, 5*time.Second, "expiry", func() bool {
			_, err := i.get(key)
			return errors.Is(err, store.ErrNotFound)
		})
	})
	t.Run("gives way", func(t *testing.T) { touchGivesWay(t, s) })
	t.Run("writes only where that changes something", func(t *testing.T) { touchSaves(t, s) })
}

// touchGivesWay puts another operation before, within and after a touch, from a clock that is the same, behind, ahead.
func touchGivesWay(t *testing.T, s *suite) {
	for _, ahead := range []time.Duration{-10 * time.Second, 0, 10 * time.Second} {
		t.Run("a set by a clock "+name(ahead)+" within a touch wins", func(t *testing.T) {
			key := newKey()
			// A clock behind the first set's loses to that, which is no matter of the touch.
			other := s.instance(t, with{ahead: max(ahead, 0)})
			i := s.instance(t, with{between: func() { other.mustSet(key, "new", time.Hour) }})
			s.instance(t, with{}).mustSet(key, "old", time.Minute)
			i.want(i.touch(key, 2*time.Hour), nil)
			if left := i.wantValue(key, "new").TTL; left > time.Hour {
				t.Errorf("%v are left of the hour that came with the value", left)
			}
		})
		t.Run("a delete by a clock "+name(ahead)+" within a touch wins", func(t *testing.T) {
			key := newKey()
			other := s.instance(t, with{ahead: ahead})
			i := s.instance(t, with{between: func() { other.want(other.delete(key), nil) }})
			s.instance(t, with{}).mustSet(key, "old", time.Minute)
			i.want(i.touch(key, time.Hour), nil)
			i.wantAbsent(key)
		})
		t.Run("a touch by a clock "+name(ahead)+" after a delete finds nothing", func(t *testing.T) {
			key := newKey()
			i := s.instance(t, with{})
			i.mustSet(key, "old", time.Minute)
			i.want(i.delete(key), nil)
			late := s.instance(t, with{ahead: ahead})
			late.want(late.touch(key, time.Hour), store.ErrNotFound)
			i.wantAbsent(key)
		})
	}
	for name, hours := range map[string][2]time.Duration{
		"the first to write": {1 * time.Hour, 2 * time.Hour}, "the last to write": {2 * time.Hour, 1 * time.Hour},
	} {
		t.Run("of two touches at once the longer wins, be it "+name, func(t *testing.T) {
			key := newKey()
			other := s.instance(t, with{})
			i := s.instance(t, with{between: func() { other.want(other.touch(key, hours[1]), nil) }})
			other.mustSet(key, "v", time.Minute)
			i.want(i.touch(key, hours[0]), nil)
			if left := i.wantValue(key, "v").TTL; left < 119*time.Minute {
				t.Errorf("%v are left of two hours", left)
			}
		})
	}
}

func fence(t *testing.T, s *suite) {
	clocks := []time.Duration{-10 * time.Second, 0, 10 * time.Second}
	for _, setter := range clocks {
		for _, deleter := range clocks {
			t.Run(fmt.Sprintf("setter's clock %s, deleter's %s", name(setter), name(deleter)), func(t *testing.T) {
				fenceOrders(t, s, setter, deleter)
			})
		}
	}
	t.Run("a set by a clock that is ahead by more than the fence is deleted all the same", func(t *testing.T) {
		key := newKey()
		s.instance(t, with{ahead: time.Hour}).mustSet(key, "from the future", time.Hour)
		i := s.instance(t, with{})
		i.want(i.delete(key), nil)
		i.wantAbsent(key)
	})
	t.Run("when it is over the key can be set again", func(t *testing.T) {
		t.Parallel()
		i := s.instance(t, with{fence: time.Second})
		key := newKey()
		i.want(i.delete(key), nil)
		i.want(i.set(key, "too early", time.Hour), store.ErrDeleted)
		await(t, 20*time.Second, "the end of the fence", func() bool { return i.set(key, "again", time.Hour) == nil })
		i.wantValue(key, "again")
	})
	t.Run("without one a key can be set at once", func(t *testing.T) {
		i := s.instance(t, with{unfenced: true})
		key := newKey()
		i.mustSet(key, "first", time.Hour)
		i.want(i.delete(key), nil)
		i.wantAbsent(key)
		i.mustSet(key, "second", time.Hour)
		i.wantValue(key, "second")
	})
}

// fenceOrders has a set arrive before, during and after a delete.
func fenceOrders(t *testing.T, s *suite, setter, deleter time.Duration) {
	remove := func(key access.Key) {
		i := s.instance(t, with{ahead: deleter})
		i.want(i.delete(key), nil)
	}
	look := s.instance(t, with{})
	t.Run("before", func(t *testing.T) {
		key := newKey()
		s.instance(t, with{ahead: setter}).mustSet(key, "v", time.Hour)
		remove(key)
		look.wantAbsent(key)
	})
	t.Run("during: it saw no delete and is written after one", func(t *testing.T) {
		key := newKey()
		late := s.instance(t, with{ahead: setter, between: func() { remove(key) }})
		late.want(late.set(key, "straggler", time.Hour), nil)
		look.wantAbsent(key)
		late.want(late.touch(key, time.Hour), store.ErrNotFound)
	})
	t.Run("after", func(t *testing.T) {
		key := newKey()
		remove(key)
		i := s.instance(t, with{ahead: setter})
		i.want(i.set(key, "v", time.Hour), store.ErrDeleted)
		look.wantAbsent(key)
	})
}

func concurrency(t *testing.T, s *suite) {
	t.Run("values are whole, and a delete that was answered is the end", func(t *testing.T) {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { oneLogout(t, s) })
		}
		all.Wait()
	})
}

// oneLogout has writers and readers at one key, and a delete among them.
func oneLogout(t *testing.T, s *suite) {
	key := newKey()
	var deleted, workers sync.WaitGroup
	deleted.Add(1)
	for range 3 {
		workers.Go(func() {
			i := s.instance(t, with{})
			for range 10 {
				if err := i.set(key, strings.Repeat(rand.Text()[:1], 2000), time.Hour); err != nil && !errors.Is(err, store.ErrDeleted) {
					t.Errorf("set: %v", err)
				}
				v, err := i.get(key)
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("get: %v", err)
				}
				if err == nil && string(v.Data) != strings.Repeat(string(v.Data[:1]), 2000) {
					t.Error("a torn value was read")
				}
			}
		})
	}
	workers.Go(func() {
		defer deleted.Done()
		i := s.instance(t, with{})
		i.want(i.delete(key), nil)
	})
	deleted.Wait()
	look := s.instance(t, with{})
	for range 5 {
		look.wantAbsent(key)
	}
	workers.Wait()
	look.wantAbsent(key)
}

func cancellation(t *testing.T, s *suite) {
	i := s.instance(t, with{})
	key := newKey()
	i.mustSet(key, "v", time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := i.store.Get(ctx, i.caller(access.Get, key), key)
	i.want(err, store.ErrUnavailable)
	i.want(i.store.Set(ctx, i.caller(access.Set, key), key, []byte("w"), time.Hour), store.ErrUnavailable)
	i.want(i.store.Touch(ctx, i.caller(access.Touch, key), key, time.Hour), store.ErrUnavailable)
	i.want(i.store.Delete(ctx, i.caller(access.Delete, key), key), store.ErrUnavailable)
	i.wantValue(key, "v")
}

func kask(t *testing.T, s *suite) {
	for _, unfenced := range []bool{false, true} {
		t.Run(fmt.Sprintf("without a fence: %v", unfenced), func(t *testing.T) {
			i := s.instance(t, with{layout: store.LayoutKask, unfenced: unfenced})
			key := newKey() + "/ünïcödé\x00"
			i.mustSet(key, "v\x00\xff", time.Hour)
			i.wantValue(key, "v\x00\xff")
			i.want(i.touch(key, time.Minute), nil)
			i.want(i.delete(key), nil)
			i.wantAbsent(key)

			bad := newKey() + "\xff"
			_, err := i.get(bad)
			i.want(err, store.ErrKey)
			i.want(i.set(bad, "v", time.Hour), store.ErrKey)
			i.want(i.touch(bad, time.Hour), store.ErrKey)
			i.want(i.delete(bad), store.ErrKey)
		})
	}
}
