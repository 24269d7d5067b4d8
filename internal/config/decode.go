package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxNodes is the largest number of nodes that a configuration may have. Without it, a small file with nested aliases could
// use all memory.
const maxNodes = 1 << 18

// decoder fills in a Config from YAML nodes. It continues after a mistake, so that it finds all mistakes of a file.
//
// The decoder of the YAML library is not used, because it does not return positions, its errors quote values, and it
// takes a field without a value, or a number 0, for an absent field: an empty list of networks must not mean every network.
type decoder struct {
	file     string
	mistakes []*Mistake
	broken   []string // paths of fields that have no usable value because of a mistake
	nodes    int
}

// decode sets the value that pointer points to from n, which is at path.
func (d *decoder) decode(path string, n *yaml.Node, pointer any) {
	d.value(path, n, reflect.ValueOf(pointer).Elem())
}

// explains reports whether the mistakes found so far explain why the field at path is missing or wrong.
func (d *decoder) explains(path string) bool {
	return slices.ContainsFunc(d.broken, func(broken string) bool {
		return path == broken || isBelow(path, broken) || path == parent(broken)
	})
}

// isBelow reports whether the field at path is inside the field at parent.
func isBelow(path, parent string) bool {
	rest, ok := strings.CutPrefix(path, parent)
	return ok && (parent == "" || strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "["))
}

// parent returns the path of the struct, map or list that the field at path is in.
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

func (d *decoder) mistake(line int, path, format string, args ...any) {
	d.mistakes = append(d.mistakes, &Mistake{File: d.file, Line: line, Path: path, Err: fmt.Errorf(format, args...)})
	d.broken = append(d.broken, path)
}

func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	if d.tooLarge() {
		return
	}
	if d.nodes++; d.tooLarge() {
		d.mistake(n.Line, "", "the configuration is too large, with its aliases expanded")
		return
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		d.mistake(n.Line, path, "there is no value; give one or remove the line")
		return
	}
	if v.Kind() == reflect.Pointer {
		before := len(d.mistakes)
		p := reflect.New(v.Type().Elem())
		d.value(path, n, p.Elem())
		if len(d.mistakes) == before {
			v.Set(p)
		}
		return
	}
	if want := nodeKind(v); n.Kind != want {
		d.mistake(n.Line, path, "expected %s, found %s", expected(v), found(n))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(path, n, v)
	case reflect.Map:
		d.mapping(path, n, v)
	case reflect.Slice:
		d.list(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

// tooLarge reports whether the configuration has too many nodes. Decoding then stops.
func (d *decoder) tooLarge() bool { return d.nodes >= maxNodes }

// nodeKind returns the kind of YAML node that v is decoded from.
func nodeKind(v reflect.Value) yaml.Kind {
	switch v.Kind() {
	case reflect.Struct, reflect.Map:
		return yaml.MappingNode
	case reflect.Slice:
		return yaml.SequenceNode
	}
	return yaml.ScalarNode
}

// structure decodes a mapping whose names are fields of a struct.
func (d *decoder) structure(path string, n *yaml.Node, v reflect.Value) {
	fields := fieldsByName(v.Type())
	for _, e := range d.entries(path, n) {
		i, ok := fields[e.key.Value]
		if !ok {
			d.unknownField(path, e.key, fields)
			continue
		}
		at := below(path, e.key.Value)
		d.value(at, e.value, v.Field(i))
		d.rejectZero(at, e.value, v.Field(i))
	}
}

// unknownField records a mistake that lists the possible fields, most similar first.
func (d *decoder) unknownField(path string, key *yaml.Node, fields map[string]int) {
	names := similarFirst(key.Value, fields)
	d.mistakes = append(d.mistakes, &Mistake{File: d.file, Line: key.Line, Path: path,
		Err: fmt.Errorf("there is no field %.40q here; possible fields, most similar first: %s", key.Value, strings.Join(names, ", "))})
	d.broken = append(d.broken, below(path, "?")) // explains a mistake of the struct as a whole
	if len(names) > 0 && similar(key.Value, names[0]) {
		d.broken = append(d.broken, below(path, names[0])) // was probably meant, so it is not also missing
	}
}

// mapping decodes a mapping whose names the configuration chooses.
func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range d.entries(path, n) {
		at := below(path, e.key.Value)
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(at, e.value, element)
		d.rejectZero(at, e.value, element)
		v.SetMapIndex(reflect.ValueOf(e.key.Value), element)
	}
}

func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, element := range n.Content {
		if d.tooLarge() {
			return
		}
		d.value(fmt.Sprintf("%s[%d]", path, i), element, v.Index(i))
	}
}

func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	var number float64
	fraction := v.CanInt() && n.ShortTag() == "!!float" && n.Decode(&number) == nil && number != math.Trunc(number)
	if fraction || n.Decode(v.Addr().Interface()) != nil {
		d.mistake(n.Line, path, "expected %s, found %s", expected(v), found(n))
	}
}

// rejectZero rejects a number or duration of 0, which would be taken for an absent field. A field that may be 0 is a pointer.
func (d *decoder) rejectZero(path string, n *yaml.Node, v reflect.Value) {
	if (v.CanInt() || v.CanFloat()) && v.IsZero() && !slices.Contains(d.broken, path) {
		d.mistake(n.Line, path, "cannot be 0; give another value, or remove the line for the default")
	}
}

// entry is one line of a mapping.
type entry struct{ key, value *yaml.Node }

// entries returns the entries of a mapping without duplicates. Entries that are merged (<<) come last and do not replace
// others.
func (d *decoder) entries(path string, n *yaml.Node) []entry {
	var all []entry
	var merged []*yaml.Node
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch line := lines[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			d.mistake(key.Line, path, "expected the name of a field, found %s", found(key))
		case key.ShortTag() == "!!merge":
			merged = append(merged, mergeSources(value)...)
		case line > 0:
			d.mistake(key.Line, below(path, key.Value), "this field is there already, in line %d", line)
		default:
			lines[key.Value] = key.Line
			all = append(all, entry{key, value})
		}
	}
	for _, source := range merged {
		if source.Kind != yaml.MappingNode {
			d.mistake(source.Line, path, "expected a group of fields to merge, found %s", found(source))
			continue
		}
		for i := 0; i+1 < len(source.Content); i += 2 {
			key, value := source.Content[i], source.Content[i+1]
			if key.Kind == yaml.ScalarNode && lines[key.Value] == 0 {
				lines[key.Value] = key.Line
				all = append(all, entry{key, value})
			}
		}
	}
	return all
}

// mergeSources returns the mappings that a merge key (<<) names.
func mergeSources(n *yaml.Node) []*yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.SequenceNode {
		return []*yaml.Node{n}
	}
	var all []*yaml.Node
	for _, element := range n.Content {
		if element.Kind == yaml.AliasNode {
			element = element.Alias
		}
		all = append(all, element)
	}
	return all
}

// expected describes what v is decoded from.
func expected(v reflect.Value) string {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return "a duration such as 60s or 24h"
	}
	switch {
	case v.Kind() == reflect.Bool:
		return "true or false"
	case v.CanInt():
		return "a whole number"
	case v.CanFloat():
		return "a number such as 0.01"
	case v.Kind() == reflect.String:
		return "text"
	case v.Kind() == reflect.Slice:
		return "a list"
	}
	return "a group of fields, each NAME: VALUE"
}

// found describes a node without its value, which may be a secret.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a group of fields"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!str":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	}
	return "another value"
}

// below returns the path of the field called name in the field at path.
func below(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

// fieldsByName returns the index of each field of a struct, by its name in the configuration file.
func fieldsByName(t reflect.Type) map[string]int {
	fields := make(map[string]int)
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			fields[name] = i
		}
	}
	return fields
}

// similarFirst returns the names of fields, most similar to name first.
func similarFirst(name string, fields map[string]int) []string {
	var names []string
	for n := range fields {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		if byDistance := distance(name, a) - distance(name, b); byDistance != 0 {
			return byDistance
		}
		return fields[a] - fields[b]
	})
	return names
}

// similar reports whether somebody who wrote a probably meant b.
func similar(a, b string) bool { return distance(a, b) <= 2 }

// distance is the number of letters to insert, delete or replace to make b from a (Levenshtein). It is at most 1 if one of
// them contains the other.
func distance(a, b string) int {
	if a != "" && b != "" && (strings.Contains(a, b) || strings.Contains(b, a)) {
		return min(1, max(len(a), len(b))-min(len(a), len(b)))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
