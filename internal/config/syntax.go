package config

import (
	"bytes"
	"errors"
	"strings"

	goccy "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// syntaxMistake returns the first syntax error in text, which go.yaml.in/yaml has refused to parse. That library has the
// line only in the text of its errors, and not reliably, so goccy/go-yaml, whose errors have a position, finds it.
func syntaxMistake(name string, text []byte) *Mistake {
	m := &Mistake{File: name, Err: errors.New("this is not valid YAML")}
	if m.Line = tabIndent(text); m.Line > 0 {
		m.Err = errors.New("this is not valid YAML: indent with spaces, not with tabs")
		return m
	}
	tokens := lexer.Tokenize(string(text))
	_, err := parser.Parse(tokens, 0)
	if e, ok := errors.AsType[goccy.Error](err); ok && e.GetToken() != nil {
		m.Line = e.GetToken().Position.Line
		if reason := e.GetMessage(); !strings.Contains(reason, `"`) { // a quoted part may be a secret
			m.Err = errors.New("this is not valid YAML: " + reason)
		}
		return m
	}
	if t := undefinedAlias(tokens); t != nil {
		m.Line = t.Position.Line
		m.Err = errors.New("no anchor has this name; put quotes around a value that begins with *")
	}
	return m
}

// tabIndent returns the first line that is indented with a tab, or 0.
func tabIndent(text []byte) int {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]; bytes.ContainsRune(indent, '\t') {
			return n
		}
	}
	return 0
}

// undefinedAlias returns the first alias (*NAME) without an anchor (&NAME) before it, or nil.
func undefinedAlias(tokens token.Tokens) *token.Token {
	anchors := make(map[string]bool)
	for _, t := range tokens {
		switch {
		case t.Next == nil:
		case t.Type == token.AnchorType:
			anchors[t.Next.Value] = true
		case t.Type == token.AliasType && !anchors[t.Next.Value]:
			return t
		}
	}
	return nil
}
