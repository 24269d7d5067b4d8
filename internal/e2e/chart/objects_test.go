//go:build integration

package chart

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// objects are objects of Kubernetes in the order in which Helm printed them.
type objects []map[string]any

// named returns the object of this kind and name. It must exist.
func (all objects) named(t *testing.T, kind, name string) map[string]any {
	t.Helper()
	for _, o := range all {
		if o["kind"] == kind && at(o, "metadata name") == name {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

// kinds returns the kind and name of each object.
func (all objects) kinds() (names []string) {
	for _, o := range all {
		names = append(names, fmt.Sprint(o["kind"], " ", at(o, "metadata name")))
	}
	return names
}

// pods returns the template of each Deployment and Job, by the name of the object.
func (all objects) pods(t *testing.T) map[string]any {
	t.Helper()
	pods := make(map[string]any)
	for _, o := range all {
		if template := at(o, "spec template"); template != nil {
			pods[fmt.Sprint(at(o, "metadata name"))] = template
		}
	}
	if len(pods) == 0 {
		t.Fatal("there are no pods")
	}
	return pods
}

// data returns the data of the ConfigMap with this name, or nil if the chart does not make it.
func (all objects) data(name string) map[string]any {
	for _, o := range all {
		if o["kind"] == "ConfigMap" && at(o, "metadata name") == name {
			data, _ := o["data"].(map[string]any)
			return data
		}
	}
	return nil
}

// deployment returns the only Deployment.
func (all objects) deployment(t *testing.T) map[string]any {
	t.Helper()
	var found map[string]any
	for _, o := range all {
		if o["kind"] == "Deployment" {
			found = o
		}
	}
	if found == nil {
		t.Fatal("there is no Deployment")
	}
	return found
}

// at returns what stands at a path of fields and indexes, separated by spaces. It returns nil if there is nothing.
func at(value any, path string) any {
	for _, step := range strings.Fields(path) {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// list returns the list at a path, or an empty list.
func list(value any, path string) []any {
	all, _ := at(value, path).([]any)
	return all
}

// text returns the string at a path, or an empty string.
func text(value any, path string) string {
	s, _ := at(value, path).(string)
	return s
}

// number returns the integer at a path, or 0.
func number(value any, path string) int {
	n, _ := at(value, path).(int)
	return n
}
