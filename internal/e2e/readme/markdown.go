// Package readme tests the commands and configurations in the project's Markdown files. It reads README.md and
// docs/*.md and runs three kinds of fenced code blocks, in the order of the file:
//
//   - A ```sh block with a line that begins with "ui ": each line is a command for a running `userinfo dev`. A trailing
//     comment says the expected HTTP status, and for an error the type of the problem: "# 204" or "# 404 not-found".
//     Without a comment, any 2xx is accepted. Every file has a server of its own.
//   - A ```sh block after the comment <!-- test: run -->: the block runs as a shell script in a scratch directory, with
//     the program userinfo in PATH. It must succeed.
//   - A ```yaml block after the comment <!-- test: check-config -->: the block must be accepted by
//     `userinfo check-config`. Every file that it names is created in the scratch directory. Later blocks of the same file
//     find the configuration there as userinfo.yaml.
//
// All other blocks are ignored.
package readme

import (
	"fmt"
	"regexp"
	"strings"
)

// block is one fenced code block.
type block struct {
	file     string
	line     int    // of its first line of text, from 1
	language string // "sh", "yaml" or another; may be empty
	marker   string // the text after "test:" in an HTML comment directly before the block; may be empty
	text     string
}

var markerComment = regexp.MustCompile(`^<!--\s*test:\s*([a-z-]+)\s*-->$`)

// parseBlocks returns the fenced code blocks of a Markdown file.
func parseBlocks(file, text string) ([]block, error) {
	var blocks []block
	var marker string
	var open *block
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case open != nil && trimmed == "```":
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(trimmed, "```"):
			open = &block{file: file, line: number + 1, language: strings.TrimPrefix(trimmed, "```"), marker: marker}
			marker = ""
		case markerComment.MatchString(trimmed):
			marker = markerComment.FindStringSubmatch(trimmed)[1]
		case trimmed != "":
			marker = ""
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s:%d: the code block has no end", file, open.line)
	}
	return blocks, nil
}

// command is one command of a block that uses the shell function ui.
type command struct {
	line    int    // in the file, from 1
	setup   string // the assignments before it in the block, as shell text
	text    string
	status  string // expected HTTP status; empty: any 2xx
	problem string // expected type of the problem, without its prefix; empty: any
}

var (
	assignment      = regexp.MustCompile(`^[A-Za-z_]+=\S*$`)
	expectedOutcome = regexp.MustCompile(`\s#\s*(\d{3})\b(?:\s+([a-z][a-z-]+)\s*$)?.*$`)
	usesUI          = regexp.MustCompile(`(?m)^ui `)
	callsUI         = regexp.MustCompile(`(^|[|;]\s*)ui `)
)

// commands returns the commands of a block. A line that ends with a backslash continues on the next line. Besides commands
// that call ui, a block may contain assignments, comments and empty lines.
func (b block) commands() ([]command, error) {
	var all []command
	setup, pending := "", ""
	for i, line := range strings.Split(b.text, "\n") {
		if rest, ok := strings.CutSuffix(line, `\`); ok {
			pending += rest
			continue
		}
		line, pending = strings.TrimSpace(pending+line), ""
		plain := strings.TrimSpace(regexp.MustCompile(`\s#.*$`).ReplaceAllString(line, ""))
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case assignment.MatchString(plain):
			setup += plain + "\n"
		case callsUI.MatchString(line):
			c := command{line: b.line + i, setup: setup, text: line}
			if m := expectedOutcome.FindStringSubmatch(line); m != nil {
				c.status, c.problem = m[1], m[2]
			}
			all = append(all, c)
		default:
			return nil, fmt.Errorf("%s:%d: in a block with ui commands, every line must call ui or set a variable: %s", b.file, b.line+i, line)
		}
	}
	return all, nil
}
