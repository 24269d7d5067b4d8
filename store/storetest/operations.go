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

func testSet(t *testing.T, s *suite) {
	every := make([]byte, 256)
	for b := range every {
		every[b] = byte(b)
	}
	for name, key := range map[string]access.Key{
		"plain": newKey(), "every byte": access.Key(every) + newKey(), "a slash": "a/b" + newKey(), "dots": ".." + newKey(),
		"not UTF-8": "\xff\xfe" + newKey(), "NUL": "\x00" + newKey(), "4 kB": newKey() + access.Key(strings.Repeat("k", 4000)),
	} {
		for what, value := range map[string]string{
			"text": "who=alice", "one byte": "\x00", "every byte": string(every), "1 MiB": strings.Repeat("v", 1<<20),
		} {
			t.Run(name+" key, "+what, func(t *testing.T) {
				i := s.instance(t, settings{})
				i.mustSet(key, value, time.Hour)
				i.wantValue(key, value)
			})
		}
	}
	i := s.instance(t, settings{})
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

func testDenied(t *testing.T, s *suite) {
	i := s.instance(t, settings{})
	key, other := newKey(), newKey()
	i.mustSet(key, "kept", time.Hour)
	ctx := context.Background()
	for name, caller := range map[string]access.Caller{
		"the zero Caller": {}, "a Caller for another key": i.caller(access.Get, other),
	} {
		t.Run(name, func(t *testing.T) {
			i := s.instance(t, settings{})
			_, err := i.collection.Get(ctx, caller, key)
			i.want(err, access.ErrDenied)
			i.want(i.collection.Set(ctx, caller, key, []byte("changed"), time.Hour), access.ErrDenied)
			i.want(i.collection.Touch(ctx, caller, key, time.Minute), access.ErrDenied)
			i.want(i.collection.Delete(ctx, caller, key), access.ErrDenied)
		})
	}
	t.Run("a Caller for another operation", func(t *testing.T) {
		i := s.instance(t, settings{})
		_, err := i.collection.Get(ctx, i.caller(access.Set, key), key)
		i.want(err, access.ErrDenied)
		i.want(i.collection.Set(ctx, i.caller(access.Touch, key), key, []byte("changed"), time.Hour), access.ErrDenied)
		i.want(i.collection.Touch(ctx, i.caller(access.Delete, key), key, time.Minute), access.ErrDenied)
		i.want(i.collection.Delete(ctx, i.caller(access.Get, key), key), access.ErrDenied)
	})
	if v := i.wantValue(key, "kept"); v.TTL < 50*time.Minute {
		t.Errorf("a denied touch has changed the TTL to %v", v.TTL)
	}
}

func testNotFound(t *testing.T, s *suite) {
	i := s.instance(t, settings{})
	key := newKey()
	i.wantNotFound(key)
	i.want(i.touch(key, time.Hour), store.ErrNotFound)
	i.wantNotFound(key)
	i.want(i.delete(key), nil)
	i.want(i.delete(key), nil)
	i.wantNotFound(key)
}

func testConcurrency(t *testing.T, s *suite) {
	t.Run("values are whole, and a confirmed delete is final", func(t *testing.T) {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { logOutDuringWrites(t, s) })
		}
		all.Wait()
	})
}

// logOutDuringWrites deletes a key that others write and read.
func logOutDuringWrites(t *testing.T, s *suite) {
	key := newKey()
	var deleted, workers sync.WaitGroup
	deleted.Add(1)
	for range 3 {
		workers.Go(func() {
			i := s.instance(t, settings{})
			for range 10 {
				if err := i.set(key, strings.Repeat(rand.Text()[:1], 2000), time.Hour); err != nil && !errors.Is(err, store.ErrDeleted) {
					t.Errorf("set: %v", err)
				}
				v, err := i.get(key)
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("get: %v", err)
				}
				if err == nil && string(v.Data) != strings.Repeat(string(v.Data[:1]), 2000) {
					t.Error("read a mixture of two values")
				}
			}
		})
	}
	workers.Go(func() {
		defer deleted.Done()
		i := s.instance(t, settings{})
		i.want(i.delete(key), nil)
	})
	deleted.Wait()
	reader := s.instance(t, settings{})
	for range 5 {
		reader.wantNotFound(key)
	}
	workers.Wait()
	reader.wantNotFound(key)
}

func testCancellation(t *testing.T, s *suite) {
	i := s.instance(t, settings{})
	key := newKey()
	i.mustSet(key, "v", time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := i.collection.Get(ctx, i.caller(access.Get, key), key)
	i.want(err, store.ErrUnavailable)
	i.want(i.collection.Set(ctx, i.caller(access.Set, key), key, []byte("w"), time.Hour), store.ErrUnavailable)
	i.want(i.collection.Touch(ctx, i.caller(access.Touch, key), key, time.Hour), store.ErrUnavailable)
	i.want(i.collection.Delete(ctx, i.caller(access.Delete, key), key), store.ErrUnavailable)
	i.wantValue(key, "v")
}

func testLayoutKask(t *testing.T, s *suite) {
	for _, noFence := range []bool{false, true} {
		t.Run(fmt.Sprintf("no fence: %v", noFence), func(t *testing.T) {
			i := s.instance(t, settings{layout: store.LayoutKask, noFence: noFence})
			key := newKey() + "/ünïcödé\x00"
			i.mustSet(key, "v\x00\xff", time.Hour)
			i.wantValue(key, "v\x00\xff")
			i.want(i.touch(key, time.Minute), nil)
			i.want(i.delete(key), nil)
			i.wantNotFound(key)

			notUTF8 := newKey() + "\xff"
			_, err := i.get(notUTF8)
			i.want(err, store.ErrKey)
			i.want(i.set(notUTF8, "v", time.Hour), store.ErrKey)
			i.want(i.touch(notUTF8, time.Hour), store.ErrKey)
			i.want(i.delete(notUTF8), store.ErrKey)
		})
	}
}

// testLargestValue sets, touches and deletes the largest value under the longest key of the API (api.MaxKeyBytes).
func testLargestValue(t *testing.T, s *suite) {
	value := strings.Repeat("v", store.LargestValue)
	for _, layout := range []store.Layout{store.LayoutUserInfo, store.LayoutKask} {
		for _, noFence := range []bool{false, true} {
			t.Run(fmt.Sprintf("layout %s, no fence: %v", layout, noFence), func(t *testing.T) {
				i := s.instance(t, settings{layout: layout, noFence: noFence})
				key := newKey()
				key += access.Key(strings.Repeat("k", 4096-len(key)))
				i.mustSet(key, value, time.Hour)
				i.want(i.touch(key, 2*time.Hour), nil)
				i.wantValue(key, value)
				i.want(i.delete(key), nil)
				i.wantNotFound(key)
			})
		}
	}
}
