package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"userinfo/internal/field"
	"userinfo/internal/keyfile"
)

// File is a configuration and the file that it was read from.
type File struct {
	*Config
	// Name is the name of the file.
	Name string
	// Text is the content of the file as it was read.
	Text []byte

	root *yaml.Node
}

// Mistake is one mistake in a configuration file.
type Mistake struct {
	File string
	Line int    // from 1; 0 if the mistake has no line
	Path string // of the field, such as collections[0].fence; may be empty
	Err  error
}

// Error returns FILE:LINE: FIELD: REASON.
func (m *Mistake) Error() string {
	at := m.File
	if m.Line > 0 {
		at = fmt.Sprintf("%s:%d", m.File, m.Line)
	}
	if m.Path != "" {
		at += ": " + m.Path
	}
	return at + ": " + m.Err.Error()
}

// Unwrap returns the reason.
func (m *Mistake) Unwrap() error { return m.Err }

// Load reads a configuration file, applies defaults and checks it. Its error joins one *Mistake for each mistake in the
// file, in the order of lines. It fails closed: it rejects a file that everybody may write, because the file decides who may
// use the service.
func Load(name string) (*File, error) {
	text, err := keyfile.ReadPublic(name)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(name, text)
}

// Parse does what Load does, with text as the content of the file called name.
func Parse(name string, text []byte) (*File, error) {
	f := &File{Config: new(Config), Name: name, Text: text}
	var err error
	f.root, err = parse(name, text, f.Config, func() error {
		f.ApplyDefaults()
		return f.validate()
	})
	if err == nil {
		err = f.Locate(f.validateSchema())
	}
	if err != nil {
		return nil, err
	}
	f.resolveFileNames(filepath.Dir(name))
	return f, nil
}

// ParseOther decodes text, the content of a YAML file called name that is not the configuration, into the struct that pointer
// points to. It obeys the rules of the configuration file: one document, no unknown field, no field without a value, and all
// mistakes at once, each with its line. check returns the mistakes in the decoded struct, each a *field.Error.
func ParseOther(name string, text []byte, pointer any, check func() error) error {
	_, err := parse(name, text, pointer, check)
	return err
}

// parse decodes the only document in text into the struct that pointer points to, and then calls check. It returns the root of
// the document and the mistakes that it and check have found.
func parse(name string, text []byte, pointer any, check func() error) (*yaml.Node, error) {
	root, err := parseYAML(name, text)
	if err != nil {
		return nil, err
	}
	d := decoder{file: name}
	d.decode("", root, pointer)
	mistakes := d.mistakes
	if !d.tooLarge() {
		for _, m := range locate(name, root, check()) {
			if !d.explains(m.Path) {
				mistakes = append(mistakes, m)
			}
		}
	}
	return root, join(mistakes)
}

// parseYAML returns the root of the only document in text.
func parseYAML(name string, text []byte) (*yaml.Node, error) {
	var document yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return nil, &Mistake{File: name, Err: errors.New("the file is empty")}
	} else if err != nil {
		return nil, syntaxMistake(name, text)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &Mistake{File: name, Err: errors.New("the file has more than one document; remove the --- line and what follows")}
	}
	return document.Content[0], nil
}

// Locate returns err with file and line before each field.Error in it.
func (f *File) Locate(err error) error { return join(f.mistakes(err)) }

func (f *File) mistakes(err error) []*Mistake { return locate(f.Name, f.root, err) }

// locate returns each field.Error in err with the line of its field below root, the document in a file.
func locate(file string, root *yaml.Node, err error) []*Mistake {
	var all []*Mistake
	for _, e := range field.All(err) {
		m := &Mistake{File: file, Path: e.Path, Err: e.Err}
		if e.Path != "" {
			m.Line = lineOf(root, e.Path)
		}
		all = append(all, m)
	}
	return all
}

// join returns the mistakes as one error, in the order of lines.
func join(mistakes []*Mistake) error {
	slices.SortStableFunc(mistakes, func(a, b *Mistake) int { return cmp.Compare(a.Line, b.Line) })
	errs := make([]error, len(mistakes))
	for i, m := range mistakes {
		errs[i] = m
	}
	return errors.Join(errs...)
}
