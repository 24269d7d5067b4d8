// Package page is what the pages of reports have in common: how they look, and how they write numbers and names.
//
// Invariant: what Markdown and FileName return is no markup and no path, whatever they are given.
package page

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

//go:embed style.css
var style string

// Style is the style sheet.
func Style() template.CSS { return template.CSS(style) }

// Picture is an image and its file's name.
type Picture struct {
	File string
	PNG  []byte
}

// URI is the picture inside the page.
func (p Picture) URI() template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(p.PNG))
}

// Count writes a number with its thousands apart.
func Count(n int) string { return message.NewPrinter(language.English).Sprint(n) }

// Plural writes so many of something whose plural has an s.
func Plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return Count(n) + " " + noun
}

// Markdown is text inside a table's cell or a paragraph: what would be markup there is escaped.
func Markdown(text string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]",
		"<", "&lt;", ">", "&gt;", "&", "&amp;", "\r", " ", "\n", " ").Replace(text)
}

// FileName keeps of a name what is safe in a file's name and a URL on every system, and at most 60 bytes.
func FileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_':
			return r
		}
		return '-'
	}, name)
	for strings.Contains(safe, "--") {
		safe = strings.ReplaceAll(safe, "--", "-")
	}
	return safe[:min(len(safe), 60)]
}

// Unused is name, or name with the first number that makes it another than those that are used.
func Unused(used map[string]bool, name string) string {
	for i, other := 2, name; ; i++ {
		if !used[other] {
			return other
		}
		other = fmt.Sprintf("%s-%d", name, i)
	}
}

// Write writes files into a directory, which it creates.
func Write(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing a report: %w", err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("writing a report: %w", err)
		}
	}
	return nil
}

// Render is what a template makes of data, by its method Execute.
func Render(execute func(io.Writer, any) error, data any) ([]byte, error) {
	b := new(bytes.Buffer)
	err := execute(b, data)
	return b.Bytes(), err
}
