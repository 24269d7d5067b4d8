package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"userinfo/schema"
)

// progress prints what schema apply does. On a terminal, it keeps one line for each statement up to date: how long the
// statement has been running, and which nodes it waits for. Elsewhere, it prints a line for each new state.
type progress struct {
	out      io.Writer
	terminal bool
	line     string // the newest line, without how long it took
}

func newProgress(out io.Writer) *progress {
	file, ok := out.(*os.File)
	if !ok {
		return &progress{out: out}
	}
	info, err := file.Stat()
	return &progress{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// tell prints one event. A failed write is ignored, because the changes must go on.
func (p *progress) tell(e schema.Event) {
	object := e.Difference.Object
	switch e.Kind {
	case schema.Warned:
		fmt.Fprintf(p.out, "warning: %v\n", e.Difference)
	case schema.Changing:
		if p.show(object+": changing", e.Took) && !p.terminal {
			fmt.Fprintf(p.out, "  %s\n", e.Statement)
		}
	case schema.Waiting:
		line := "waiting for " + strings.Join(e.Nodes, ", ")
		if object != "" {
			line = object + ": changed, " + line
		}
		p.show(line, e.Took)
	case schema.Changed:
		p.clear()
		fmt.Fprintf(p.out, "%s: done in %v\n", object, e.Took.Round(100*time.Millisecond))
	case schema.Missing:
		p.clear()
		for _, n := range e.Nodes {
			fmt.Fprintf(p.out, "not yet: %s\n", n)
		}
	}
}

// show prints the current state, and reports whether it differs from the state before. On a terminal it replaces the line.
func (p *progress) show(line string, took time.Duration) bool {
	fresh := line != p.line
	p.line = line
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s (%v)", line, took.Round(time.Second))
	} else if fresh {
		fmt.Fprintln(p.out, line)
	}
	return fresh
}

// clear removes the line that show has left on a terminal.
func (p *progress) clear() {
	if p.terminal && p.line != "" {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	p.line = ""
}
