package config

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// lineOf returns the line of the field at path below n. If the field is absent, it returns the line of the innermost
// field on the path that is present.
func lineOf(n *yaml.Node, path string) int {
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

// child returns the field of a mapping, or the element of a sequence, that is called step, and the node that holds its name.
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
