package schema

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"userinfo/store"
)

//go:embed cql/*.cql
var files embed.FS

// scripts are the files of cql/, filled in for one Spec, with their comments.
type scripts struct {
	keyspace string // empty where the Spec has no replication
	tables   []tableScripts
	own      []string // of owns
}

type tableScripts struct{ create, addGone, raiseGrace string }

// newScripts validates s and fills in every file.
func newScripts(s Spec) (scripts, error) {
	if err := s.Validate(); err != nil {
		return scripts{}, err
	}
	templates, err := template.New("cql").Option("missingkey=error").ParseFS(files, "cql/*.cql")
	if err != nil {
		return scripts{}, fmt.Errorf("reading the embedded CQL: %w", err)
	}
	var errs []error
	fill := func(file string, data any) string {
		var b strings.Builder
		if err := templates.ExecuteTemplate(&b, file, data); err != nil {
			errs = append(errs, fmt.Errorf("filling in the embedded %s: %w", file, err))
		}
		return b.String()
	}
	var out scripts
	if len(s.Replication) > 0 {
		out.keyspace = fill("001_keyspace.cql", keyspaceData(s))
	}
	for i, t := range s.Tables {
		data := map[string]any{
			"First": i == 0, "Keyspace": s.Keyspace, "Table": t.Name, "Kask": t.Layout == store.LayoutKask, "Gone": t.gone(),
			"Longest": t.longest(), "GCGrace": t.gcGrace(),
		}
		out.tables = append(out.tables, tableScripts{
			create:     fill("002_table.cql", data),
			addGone:    fill("003_gone.cql", data),
			raiseGrace: fill("004_gc_grace.cql", data),
		})
	}
	for _, o := range owns {
		out.own = append(out.own, fill(o.file, map[string]any{"Keyspace": s.Keyspace, "Table": o.name}))
	}
	return out, errors.Join(errs...)
}

func keyspaceData(s Spec) map[string]any {
	type datacentre struct {
		Name     string
		Replicas int
	}
	var list []datacentre
	for _, name := range slices.Sorted(maps.Keys(s.Replication)) {
		list = append(list, datacentre{name, s.Replication[name]})
	}
	return map[string]any{"Keyspace": s.Keyspace, "Datacentres": list}
}

// Print returns the CQL that makes the schema of s from nothing, for somebody to read and to run by hand; all of it may
// be run again. What only tables need that were there before follows as comments. s needs its Replication.
func Print(s Spec) (string, error) {
	all, err := newScripts(s)
	if err != nil {
		return "", fmt.Errorf("printing the schema: %w", err)
	}
	if all.keyspace == "" {
		return "", errors.New("printing the schema: the replication is missing: give each datacentre its number of replicas")
	}
	parts := []string{all.keyspace}
	for i, t := range all.tables {
		parts = append(parts, t.create)
		alter := "-- Only where \"" + s.Tables[i].Name + "\" was there before, and only what the check names:\n"
		if s.Tables[i].gone() {
			alter += commentOut(t.addGone)
		}
		parts = append(parts, alter+commentOut(t.raiseGrace))
	}
	return strings.Join(append(parts, all.own...), "\n"), nil
}

// statement is the statement of a script alone, on one line and without its semicolon.
func statement(script string) string {
	var lines []string
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	return strings.TrimSuffix(strings.Join(lines, " "), ";")
}

func commentOut(script string) string {
	var b strings.Builder
	for line := range strings.Lines(script) {
		if !strings.HasPrefix(line, "--") {
			b.WriteString("--   ")
		}
		b.WriteString(line)
	}
	return b.String()
}
