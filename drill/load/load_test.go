package load

import (
	"reflect"
	"strings"
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

func TestAScheduleFollowsFromItsSeed(t *testing.T) {
	one := first(NewSchedule(1, 100, 2, "k:"), 5000)
	if !reflect.DeepEqual(one, first(NewSchedule(1, 100, 2, "k:"), 5000)) {
		t.Error("one seed, two schedules")
	}
	if reflect.DeepEqual(one, first(NewSchedule(2, 100, 2, "k:"), 5000)) {
		t.Error("two seeds, one schedule")
	}
}

func TestAScheduleKeepsItsRateAndItsOrder(t *testing.T) {
	const n, rate = 20000, 100
	all := first(NewSchedule(3, rate, 2, "k:"), n)
	for i := 1; i < n; i++ {
		if all[i].Due < all[i-1].Due {
			t.Fatalf("operation %d is due before the one before it", i)
		}
	}
	if took := all[n-1].Due; took < n*time.Second/rate*95/100 || took > n*time.Second/rate*105/100 {
		t.Errorf("%d operations at %d/s take %v", n, rate, took)
	}
}

func TestAKeyIsNotUsedAnewOnceItWasDeleted(t *testing.T) {
	deleted := make(map[string]time.Duration)
	for _, p := range first(NewSchedule(4, 100, 2, "k:"), 50000) {
		at, gone := deleted[p.Key]
		if p.Method == history.Delete && !gone {
			deleted[p.Key] = p.Due
		}
		if gone && (p.Method == history.Set || p.Method == history.Touch) && p.Due > at+rememberedFor+5*time.Second {
			t.Fatalf("%s %s %v after its delete", p.Method, p.Key, p.Due-at)
		}
	}
	if len(deleted) < 100 {
		t.Errorf("only %d deletes", len(deleted))
	}
}

func TestAPinnedKeyIsUsedInOneDatacentre(t *testing.T) {
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

func TestAValueShowsWhatItIsAndWhetherItIsWhole(t *testing.T) {
	value := makeValue("k:1", 77)
	if version, key := ParseValue(value); version != 77 || key != "k:1" {
		t.Errorf("version %d of %q", version, key)
	}
	other := makeValue("k:1", 78)
	for name, torn := range map[string]string{
		"empty":        "",
		"cut short":    value[:len(value)-1],
		"longer":       value + "x",
		"one changed":  strings.Replace(value, "77", "78", 1),
		"two in one":   value[:60] + other[60:],
		"another's":    strings.Replace(value, "k:1", "k:2", 1),
		"nobody's":     "TYPE.hmac.serialized",
		"version zero": makeValue("k:1", 0),
	} {
		if version, _ := ParseValue(torn); version != history.Torn {
			t.Errorf("%s: version %d", name, version)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	f.Add(makeValue("k", 1))
	f.Add("drill1 1 k 00000000\n")
	f.Fuzz(func(t *testing.T, text string) {
		if version, key := ParseValue(text); version != history.Torn && (version <= 0 || !strings.HasPrefix(text, "drill1 ") || key == "") {
			t.Errorf("%q: version %d of %q", text, version, key)
		}
	})
}
