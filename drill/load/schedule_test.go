package load

import (
	"reflect"
	"testing"
	"time"

	"userinfo/drill/history"
)

func first(s *Schedule, n int) (all []Planned) {
	for range n {
		all = append(all, s.Next())
	}
	return all
}

func TestSchedule_DependsOnTheSeedOnly(t *testing.T) {
	one := first(NewSchedule(1, 100, 2, "k:"), 5000)
	if !reflect.DeepEqual(one, first(NewSchedule(1, 100, 2, "k:"), 5000)) {
		t.Error("the same seed gave two schedules")
	}
	if reflect.DeepEqual(one, first(NewSchedule(2, 100, 2, "k:"), 5000)) {
		t.Error("two seeds gave the same schedule")
	}
}

func TestSchedule_KeepsRateAndOrder(t *testing.T) {
	const n, rate = 20000, 100
	all := first(NewSchedule(3, rate, 2, "k:"), n)
	for i := 1; i < n; i++ {
		if all[i].Due < all[i-1].Due {
			t.Fatalf("operation %d is due before operation %d", i, i-1)
		}
	}
	if took := all[n-1].Due; took < n*time.Second/rate*95/100 || took > n*time.Second/rate*105/100 {
		t.Errorf("%d operations at %d/s take %v", n, rate, took)
	}
}

func TestSchedule_NeverReusesADeletedKey(t *testing.T) {
	deleted := make(map[string]time.Duration)
	for _, p := range first(NewSchedule(4, 100, 2, "k:"), 50000) {
		at, gone := deleted[p.Key]
		if p.Method == history.Delete && !gone {
			deleted[p.Key] = p.Due
		}
		if gone && (p.Method == history.Set || p.Method == history.Touch) && p.Due > at+deletedUse+5*time.Second {
			t.Fatalf("%s %s %v after its delete", p.Method, p.Key, p.Due-at)
		}
	}
	if len(deleted) < 100 {
		t.Errorf("only %d deletes", len(deleted))
	}
}

func TestSchedule_UsesAPinnedKeyInOneDatacentre(t *testing.T) {
	dc := make(map[string]int)
	for _, p := range first(NewSchedule(5, 100, 2, "k:"), 50000) {
		if !p.Pinned {
			continue
		}
		if was, ok := dc[p.Key]; ok && was != p.DC {
			t.Fatalf("%s is used in two datacentres", p.Key)
		}
		dc[p.Key] = p.DC
	}
	if len(dc) < 2*pinnedKeys {
		t.Errorf("only %d pinned keys", len(dc))
	}
}
