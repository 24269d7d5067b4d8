package page

import (
	"strings"
	"testing"
)

func TestNumbersAndNamesAreWrittenForAReader(t *testing.T) {
	for got, want := range map[string]string{
		Count(1234567): "1,234,567", Count(-1): "-1", Plural(1, "drill"): "1 drill", Plural(0, "drill"): "0 drills",
		FileName("fresh/mtls+resumption"): "fresh-mtls-resumption", FileName("../../etc"): "..-..-etc", FileName("ä b"): "-b",
		FileName(strings.Repeat("x", 99)):                    strings.Repeat("x", 60),
		Unused(map[string]bool{"a": true, "a-2": true}, "a"): "a-3", Unused(nil, "a"): "a",
		string(Picture{PNG: []byte("x")}.URI()): "data:image/png;base64,eA==",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestNothingIsMarkupInMarkdown(t *testing.T) {
	if got, want := Markdown("<b>|`*_[x]\\\n&"), "&lt;b&gt;\\|\\`\\*\\_\\[x\\]\\\\ &amp;"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
