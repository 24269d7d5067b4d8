package readme

import (
	"slices"
	"strings"
	"testing"
)

const example = "text\n" +
	"```sh\nB=https://127.0.0.1:8443/s/v1   # the collection\nui -i $B/k   # 404 not-found\n" +
	"printf v | \\\n  ui -X PUT --data-binary @- $B/k   # 204\nui $B/k\n```\n" +
	"<!-- test: check-config -->\n\n```yaml\nlisten: x\n```\n" +
	"<!-- test: run -->\nother text\n```sh\nuserinfo help\n```\n"

func TestParseBlocks_FindsLanguageMarkerAndLine(t *testing.T) {
	blocks, err := parseBlocks("a.md", example)
	if err != nil {
		t.Fatal(err)
	}
	var got []block
	for _, b := range blocks {
		b.text = ""
		got = append(got, b)
	}
	want := []block{
		{file: "a.md", line: 3, language: "sh"},
		{file: "a.md", line: 12, language: "yaml", marker: "check-config"},
		{file: "a.md", line: 17, language: "sh"}, // other text stands between marker and block
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := parseBlocks("a.md", "```sh\nx\n"); err == nil {
		t.Error("a block without an end is accepted")
	}
}

func TestBlock_CommandsHaveExpectedOutcome(t *testing.T) {
	blocks, err := parseBlocks("a.md", example)
	if err != nil {
		t.Fatal(err)
	}
	got, err := blocks[0].commands()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Fatalf("%d commands: %+v", len(got), got)
	}
	for i, want := range []struct{ status, problem, text string }{
		{"404", "not-found", "ui -i $B/k"}, {"204", "", "printf v |"}, {"", "", "ui $B/k"},
	} {
		c := got[i]
		if c.status != want.status || c.problem != want.problem || !strings.HasPrefix(c.text, want.text) || c.setup != "B=https://127.0.0.1:8443/s/v1\n" {
			t.Errorf("command %d is %+v, want %+v", i, c, want)
		}
	}
	if _, err := (block{text: "ui $B/k\nrm -rf x\n"}).commands(); err == nil {
		t.Error("a line that does not call ui is accepted")
	}
}
