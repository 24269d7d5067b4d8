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

// scripts are the files of cql/ with their comments, filled in for one Spec.
type scripts struct {
	keyspace      string // empty if the Spec has no replication
	tables        []tableScripts
	serviceTables []string // in the order of Spec.serviceTables; a table without a file has an empty text
}

type tableScripts struct{ create, addMarker, raiseGrace string }

// newScripts validates s and fills in the templates.
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
			"First": i == 0, "Keyspace": s.Keyspace, "Table": t.Name, "Kask": t.Layout == store.LayoutKask, "Marker": t.hasMarker(),
			"LargestTTL": t.largestTTL(), "GCGrace": t.gcGrace(),
		}
		out.tables = append(out.tables, tableScripts{
			create:     fill("002_table.cql", data),
			addMarker:  fill("003_marker.cql", data),
			raiseGrace: fill("004_gc_grace.cql", data),
		})
	}
	for _, t := range s.serviceTables() {
		script := ""
		if t.file != "" {
			script = fill(t.file, map[string]any{"Keyspace": s.Keyspace, "Table": t.name})
		}
		out.serviceTables = append(out.serviceTables, script)
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

// Print returns the CQL that creates the schema of s, for an operator to read and to run by hand. All statements may run
// again. Statements for tables that existed before follow as comments. Without a Replication, a comment says how to create
// the keyspace.
func Print(s Spec) (string, error) {
	scripts, err := newScripts(s)
	if err != nil {
		return "", fmt.Errorf("printing the schema: %w", err)
	}
	if scripts.keyspace == "" {
		scripts.keyspace = fmt.Sprintf(`-- The configuration has no cassandra.replication. Create the keyspace first, with the replicas of each datacentre:
--
--   CREATE KEYSPACE IF NOT EXISTS "%s" WITH replication = {'class': 'NetworkTopologyStrategy', '%s': 3};
`, s.Keyspace, s.LocalDatacentre)
	}
	parts := []string{scripts.keyspace}
	for i, t := range scripts.tables {
		if !s.Tables[i].MustExist {
			parts = append(parts, t.create)
		}
		alter := "-- Only if \"" + s.Tables[i].Name + "\" existed before, and only if the check asks for it:\n"
		if s.Tables[i].hasMarker() {
			alter += commentOut(t.addMarker)
		}
		parts = append(parts, alter+commentOut(t.raiseGrace))
	}
	for _, script := range scripts.serviceTables {
		if script != "" {
			parts = append(parts, script)
		}
	}
	return strings.Join(parts, "\n"), nil
}

// statement returns the statement of a script on one line, without comments and semicolon.
func statement(script string) string {
	var lines []string
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	return strings.TrimSuffix(strings.Join(lines, " "), ";")
}

// commentOut makes every line of a script a comment.
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
