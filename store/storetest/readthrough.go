package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// RunReadThrough runs the suite on collections that move between the tables KaskTableName and TableName, in both steps of
// the move, and tests that no step and no way back loses a value or brings a deleted one back.
func RunReadThrough(t *testing.T, open Open) {
	s := newSuite(t, open)
	s.moving = true
	t.Run("contract", func(t *testing.T) { run(t, s) })
	for name, test := range map[string]func(*testing.T, *suite){
		"a value is found in the next step and in the step before": testMovedValues,
		"a delete is final in every step":                          testMovedDeletes,
		"what is written during a delete stays deleted":            testMovedFence,
		"a value lives as long as its last TTL":                    testMovedTTL,
		"keys that Kask cannot have":                               testMovedKeys,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func otherLayout(l store.Layout) store.Layout {
	if l == store.LayoutKask {
		return store.LayoutUserInfo
	}
	return store.LayoutKask
}

// steps are the configurations of a move, in their order. Neighbours can run at the same time.
var steps = []settings{
	{layout: store.LayoutKask, oneTable: true},
	{layout: store.LayoutKask},
	{layout: store.LayoutUserInfo},
	{layout: store.LayoutUserInfo, oneTable: true},
}

// step returns an instance in a step, with more settings.
func (s *suite) step(t *testing.T, n int, more func(*settings)) *instance {
	with := steps[n]
	if more != nil {
		more(&with)
	}
	return s.instance(t, with)
}

// bothSteps calls test for each order of the two steps in which there are two tables.
func bothSteps(t *testing.T, test func(t *testing.T, from, to int)) {
	for _, c := range [][2]int{{1, 2}, {2, 1}, {1, 1}, {2, 2}} {
		t.Run(fmt.Sprintf("step %d, then step %d", c[0], c[1]), func(t *testing.T) {
			t.Parallel()
			test(t, c[0], c[1])
		})
	}
}

func testMovedValues(t *testing.T, s *suite) {
	for from := range steps {
		for _, to := range []int{from - 1, from + 1} {
			if to < 0 || to >= len(steps) {
				continue
			}
			t.Run(fmt.Sprintf("step %d, then step %d", from, to), func(t *testing.T) {
				key := newKey()
				before, after := s.step(t, from, nil), s.step(t, to, nil)
				before.mustSet(key, "v", time.Hour)
				if left := after.wantValue(key, "v").TTL; left > time.Hour || left < 59*time.Minute {
					t.Errorf("the TTL is %v, want the hour of the set", left)
				}
				after.mustSet(key, "newer", time.Hour)
				before.wantValue(key, "newer")
				before.mustSet(key, "newest", time.Hour)
				after.wantValue(key, "newest")
			})
		}
	}
	bothSteps(t, func(t *testing.T, from, to int) {
		key := newKey()
		s.step(t, from, nil).mustSet(key, "v", time.Hour)
		i := s.step(t, to, nil)
		i.want(i.touch(key, 2*time.Hour), nil)
		for _, n := range []int{1, 2} {
			if left := s.step(t, n, nil).wantValue(key, "v").TTL; left < 119*time.Minute {
				t.Errorf("in step %d, the TTL is %v, want the two hours of the touch", n, left)
			}
		}
	})
}

func testMovedDeletes(t *testing.T, s *suite) {
	for _, noFence := range []bool{false, true} {
		t.Run(fmt.Sprintf("no fence: %v", noFence), func(t *testing.T) {
			more := func(with *settings) { with.noFence = noFence }
			gone := func(t *testing.T, key access.Key) {
				t.Helper()
				for n := range steps {
					s.step(t, n, more).wantNotFound(key)
				}
			}
			bothSteps(t, func(t *testing.T, from, to int) {
				key := newKey()
				s.step(t, from, more).mustSet(key, "v", time.Hour)
				i := s.step(t, to, more)
				i.want(i.delete(key), nil)
				gone(t, key)
			})
			bothSteps(t, func(t *testing.T, from, to int) { // both tables have a value
				key := newKey()
				s.step(t, from, more).mustSet(key, "older", time.Hour)
				i := s.step(t, to, more)
				i.mustSet(key, "newer", 2*time.Hour)
				i.want(i.delete(key), nil)
				gone(t, key)
			})
			bothSteps(t, func(t *testing.T, from, to int) { // the older value is from a clock that is far ahead
				key := newKey()
				s.step(t, from, func(with *settings) { more(with); with.ahead = time.Hour }).mustSet(key, "from the future", time.Hour)
				i := s.step(t, to, more)
				i.want(i.set(key, "lost", time.Hour), nil)
				i.want(i.delete(key), nil)
				gone(t, key)
			})
		})
	}
	t.Run("a delete from before the move", func(t *testing.T) {
		key := newKey()
		before := s.step(t, 0, nil)
		before.mustSet(key, "v", time.Hour)
		before.want(before.delete(key), nil)
		for _, n := range []int{1, 2} {
			i := s.step(t, n, nil)
			i.wantNotFound(key)
			i.want(i.set(key, "late", time.Hour), store.ErrDeleted)
		}
	})
}

func testMovedFence(t *testing.T, s *suite) {
	bothSteps(t, func(t *testing.T, writing, deleting int) {
		for _, first := range []int{1, 2} {
			for name, write := range map[string]func(*instance, access.Key) error{
				"set":   func(i *instance, key access.Key) error { return i.set(key, "late", time.Hour) },
				"touch": func(i *instance, key access.Key) error { return i.touch(key, time.Hour) },
			} {
				t.Run(fmt.Sprintf("%s of a value of step %d", name, first), func(t *testing.T) {
					key := newKey()
					s.step(t, first, nil).mustSet(key, "v", time.Minute)
					other := s.step(t, deleting, nil)
					late := s.step(t, writing, func(with *settings) { with.beforeWrite = func() { other.want(other.delete(key), nil) } })
					late.want(write(late, key), nil)
					for n := range steps {
						s.step(t, n, nil).wantNotFound(key)
					}
				})
			}
		}
	})
}

// testMovedTTL checks that an older value does not come back when a newer one expires.
func testMovedTTL(t *testing.T, s *suite) {
	for name, shorten := range map[string]func(*instance, access.Key){
		"set":   func(i *instance, key access.Key) { i.mustSet(key, "newer", time.Second) },
		"touch": func(i *instance, key access.Key) { i.want(i.touch(key, time.Second), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			bothSteps(t, func(t *testing.T, from, to int) {
				key := newKey()
				s.step(t, from, nil).mustSet(key, "older", time.Hour)
				shorten(s.step(t, to, nil), key)
				for _, n := range []int{1, 2} {
					i := s.step(t, n, nil)
					await(t, 10*time.Second, "expiry", func() bool {
						_, err := i.get(key)
						return errors.Is(err, store.ErrNotFound)
					})
				}
				for n := range steps {
					s.step(t, n, nil).wantNotFound(key)
				}
			})
		})
	}
}

func testMovedKeys(t *testing.T, s *suite) {
	i := s.step(t, 2, nil)
	key := newKey() + "\xff"
	i.mustSet(key, "v", time.Hour)
	i.want(i.touch(key, time.Minute), nil)
	i.wantValue(key, "v")
	i.want(i.delete(key), nil)
	i.wantNotFound(key)
}
