package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"userinfo/internal/field"
)

// source is a configuration and the text that it was made from.
type source struct {
	*Config
	file string
	text []byte
}

// loadConfig reads, completes and checks a configuration file. Its error has a line for each thing that is wrong:
// FILE:LINE: FIELD: what to change.
func loadConfig(file string) (*source, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := parseConfig(file, text)
	if err != nil {
		return nil, err
	}
	return &source{c, file, text}, nil
}

// explain puts file and line before errors about fields.
func (s *source) explain(err error) error { return withLines(s.file, s.text, err) }

// parseConfig does it for a text; file is for errors alone.
func parseConfig(file string, text []byte) (*Config, error) {
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: is empty", file)
		}
		return nil, syntaxErrors(file, text, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: has more than one document; remove the --- line and what follows", file)
	}
	c.applyDefaults()
	if err := errors.Join(withoutValue(file, text)...); err != nil {
		return nil, err
	}
	if err := c.validate(); err != nil {
		return nil, withLines(file, text, err)
	}
	return &c, nil
}

var (
	yamlLine      = regexp.MustCompile(`(?s)^(?:yaml: )?(?:line (\d+): )?(.*)$`)
	unknownField  = regexp.MustCompile(`^field (\S+) not found in type \S+$`)
	badValue      = regexp.MustCompile("(?s)^cannot unmarshal !!(\\S+)(?: `.*`)? into (\\S+)$")
	duplicate     = regexp.MustCompile(`^mapping key ".*" already defined at (line \d+)$`)
	parserError   = regexp.MustCompile(`^did not find expected (?:key|node content|'-' indicator|',' or '[]}]')$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxErrors are the decoder's, in our words and without the values it quotes, which may be secrets in the wrong place.
func syntaxErrors(file string, text []byte, err error) error {
	said := []string{err.Error()}
	if typed, ok := errors.AsType[*yaml.TypeError](err); ok {
		said = typed.Errors
	}
	var errs []error
	for _, s := range said {
		m := yamlLine.FindStringSubmatch(s)
		errs = append(errs, fmt.Errorf("%s:%s %s", file, syntaxLine(text, m[1], m[2]), syntaxError(m[2])))
	}
	return errors.Join(errs...)
}

// syntaxLine is a line and a colon, or nothing where the decoder does not tell.
func syntaxLine(text []byte, line, said string) string {
	if m := unknownAnchor.FindStringSubmatch(said); m != nil {
		before, _, _ := bytes.Cut(text, []byte("*"+m[1]))
		return fmt.Sprintf("%d:", 1+bytes.Count(before, []byte("\n")))
	}
	if parserError.MatchString(said) { // the decoder counts these from 0, and does not say 0
		n, _ := strconv.Atoi(line)
		return fmt.Sprintf("%d:", n+1)
	}
	if line == "" {
		return ""
	}
	return line + ":"
}

// syntaxError is one of the decoder's errors. Of those that are not known, only one that quotes nothing is repeated.
func syntaxError(said string) string {
	if m := unknownField.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("there is no field %q here", m[1])
	}
	if m := badValue.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("%s cannot stand here; write %s", yamlKind(m[1]), yamlWanted(m[2]))
	}
	if m := duplicate.FindStringSubmatch(said); m != nil {
		return "this field is there already, on " + m[1]
	}
	if unknownAnchor.MatchString(said) {
		return "there is no such anchor; put quotes around a value that begins with *"
	}
	if strings.ContainsAny(said, "'\"`") && !strings.Contains(said, " find expected ") { // which quotes punctuation
		return "this cannot be read as YAML"
	}
	return "this cannot be read as YAML: " + said
}

func yamlKind(tag string) string {
	switch tag {
	case "seq":
		return "a list"
	case "map":
		return "a group of fields"
	case "str":
		return "text"
	}
	return "a value of kind " + tag
}

// yamlWanted says what a Go type is in a file.
func yamlWanted(goType string) string {
	switch goType {
	case "bool":
		return "true or false"
	case "int", "int64":
		return "a whole number"
	case "float64":
		return "a number such as 0.01"
	case "time.Duration":
		return "a duration such as 60s or 24h"
	case "string", "access.Grant", "store.Layout":
		return "one text"
	}
	if strings.HasPrefix(goType, "[]") {
		return "a list"
	}
	return "a group of fields, each NAME: VALUE"
}

// mayBeZero are the fields in which a zero is not taken for the default.
var mayBeZero = map[string]bool{"fence": true, "touch_slack": true, "drain": true}

// isZero tells whether a scalar is the number or the duration 0. (A hash of nothing but zeros is neither.)
func isZero(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || n.Style != 0 || len(n.Value) > 16 {
		return false
	}
	var number float64
	d, err := time.ParseDuration(n.Value)
	return (err == nil && d == 0) || (n.Decode(&number) == nil && number == 0)
}

// withoutValue finds what is there and says nothing. It would be taken for absent; but a list of networks that
// somebody has left empty must not mean everywhere, nor a TTL of 0 the default.
func withoutValue(file string, text []byte) []error {
	var root yaml.Node
	_ = yaml.Unmarshal(text, &root) // it has been decoded before
	var errs []error
	var look func(n *yaml.Node)
	look = func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
			errs = append(errs, fmt.Errorf("%s:%d: there is no value here; give one or remove the line", file, n.Line))
		}
		for i, c := range n.Content {
			look(c)
			if n.Kind == yaml.MappingNode && i%2 == 1 && isZero(c) && !mayBeZero[n.Content[i-1].Value] {
				errs = append(errs, fmt.Errorf("%s:%d: %s cannot be 0; give another value, or remove the line for the default",
					file, c.Line, n.Content[i-1].Value))
			}
		}
	}
	look(&root)
	return errs
}

// withLines puts file and line before each error.
func withLines(file string, text []byte, err error) error {
	var root yaml.Node
	_ = yaml.Unmarshal(text, &root) // it has been decoded before
	var errs []error
	for _, e := range field.All(err) {
		if e.Path == "" {
			errs = append(errs, fmt.Errorf("%s: %w", file, e.Err))
			continue
		}
		errs = append(errs, fmt.Errorf("%s:%d: %w", file, lineOf(&root, e.Path), e))
	}
	return errors.Join(errs...)
}

// lineOf is where the field at path is, or the innermost part of the file that it would be in.
func lineOf(n *yaml.Node, path string) int {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	line := max(n.Line, 1)
	steps := strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
	for _, step := range steps {
		key, value := child(n, step)
		if value == nil {
			return line
		}
		n, line = value, key.Line
	}
	return line
}

// child is a field of a mapping or an element of a sequence, and the node that names it.
func child(n *yaml.Node, step string) (key, value *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i], n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && 0 <= i && i < len(n.Content) {
			return n.Content[i], n.Content[i]
		}
	}
	return nil, nil
}

func parseLevel(s string) (slog.Level, error) {
	switch s {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, errors.New("must be debug, info, warn or error")
}
