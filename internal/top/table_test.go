package top

import (
	"strings"
	"testing"
)

func TestClean_RemovesControlCharacters(t *testing.T) {
	if got := clean("a\x1b[2J\r\nb\u202e"); got != "a?[2J??b?" {
		t.Errorf("got %q", got)
	}
	if got := []rune(clean(strings.Repeat("ä", 2*maxText))); len(got) != maxText {
		t.Errorf("%d characters", len(got))
	}
}
