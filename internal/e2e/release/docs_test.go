//go:build integration

package release

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// procedure contains the shell blocks of one section of docs/operations.md that no test has used yet.
type procedure struct {
	t      *testing.T
	blocks []string
}

func readProcedure(t *testing.T, heading string) *procedure {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(projectRoot, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/operations.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	p := &procedure{t: t}
	for _, m := range regexp.MustCompile("(?s)\n```sh\n(.*?\n)```\n").FindAllStringSubmatch(section, -1) {
		p.blocks = append(p.blocks, m[1])
	}
	return p
}

// take returns the first block that contains a text, and marks it as used.
func (p *procedure) take(text string) string {
	p.t.Helper()
	for i, b := range p.blocks {
		if strings.Contains(b, text) {
			p.blocks = append(p.blocks[:i:i], p.blocks[i+1:]...)
			return b
		}
	}
	p.t.Fatalf("the section has no further command with %q", text)
	return ""
}

// end checks that every block was used.
func (p *procedure) end() {
	p.t.Helper()
	if len(p.blocks) > 0 {
		p.t.Errorf("nothing tests these commands: %q", p.blocks)
	}
}
