package store

import (
	"strings"
	"testing"
	"time"
)

func TestIsIdentifier_Names(t *testing.T) {
	for name, want := range map[string]bool{
		"sessions": true, "a": true, "s_1": true, "select": true, strings.Repeat("a", 48): true,
		"": false, "1a": false, "_a": false, "Sessions": false, "a-b": false, "a b": false, `a"`: false, "a\x00": false, "é": false,
		strings.Repeat("a", 49): false,
	} {
		if got := IsIdentifier(name); got != want {
			t.Errorf("IsIdentifier(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestIsTTL_Range(t *testing.T) {
	for d, want := range map[time.Duration]bool{
		time.Second: true, LargestTTL: true,
		0: false, -time.Second: false, time.Second - 1: false, LargestTTL + 1: false,
	} {
		if got := IsTTL(d); got != want {
			t.Errorf("IsTTL(%v) = %v, want %v", d, got, want)
		}
	}
}

func TestLayout_HasMarker(t *testing.T) {
	for _, c := range []struct {
		layout Layout
		fence  time.Duration
		want   bool
	}{
		{"", 0, true}, {LayoutUserInfo, 0, true}, {LayoutUserInfo, time.Minute, true},
		{LayoutKask, 0, false}, {LayoutKask, time.Minute, true},
	} {
		if got := c.layout.HasMarker(c.fence); got != c.want {
			t.Errorf("layout %q, fence %v: %v, want %v", c.layout, c.fence, got, c.want)
		}
	}
}
