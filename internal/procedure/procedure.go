// Package procedure reads the commands of one section of a document, so that a test runs what an operator would run.
//
// Invariant: a command that no test takes fails the test that calls End.
package procedure

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Procedure contains the code blocks of one section, in their order, that no test has taken yet.
type Procedure struct {
	t      testing.TB
	blocks []string
}

// codeBlock matches a fenced block of shell commands or CQL. It may be indented, as in a list.
var codeBlock = regexp.MustCompile("(?ms)^ *```(?:sh|sql)\n(.*?)\n *```$")

// Read reads the section of a Markdown file that begins with a heading such as "## Firewall". The section ends at the next
// heading of the same or a higher level. It fails the test if there is no such section.
func Read(t testing.TB, file, heading string) *Procedure {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut("\n"+string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", file, heading)
	}
	level := strings.IndexByte(heading, ' ')
	for n := 2; n <= level; n++ { // a line with one # is a comment of a shell
		section, _, _ = strings.Cut(section, "\n"+strings.Repeat("#", n)+" ")
	}
	p := &Procedure{t: t}
	for _, block := range codeBlock.FindAllStringSubmatch(section, -1) {
		p.blocks = append(p.blocks, block[1])
	}
	return p
}

// Take returns the first block that contains a text, and marks it as taken. It fails the test if no block contains it.
func (p *Procedure) Take(text string) string {
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

// End fails the test if a block was not taken.
func (p *Procedure) End() {
	p.t.Helper()
	if len(p.blocks) > 0 {
		p.t.Errorf("nothing tests these commands: %q", p.blocks)
	}
}
