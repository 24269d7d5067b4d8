// Package schema creates the tables that UserInfo keeps its rows in, and says where a live schema is not what the
// service relies on. It is for Cassandra 4.0 and later.
//
// The schema is the numbered statements in cql/: a file is one statement with its reasons, the numbers are the order
// in which they are run, and a number is never used again. There is no table of migrations: what is needed is found by
// looking at what is there.
//
// Invariants:
//   - Nothing is ever dropped, no type is changed, no replication is altered, and gc_grace_seconds is never lowered.
//   - Apply changes nothing unless it can change everything that differs, and a second Apply changes nothing.
//   - Check and Print only read. What Apply leaves behind is what Check finds no fault with: both use one inspection.
//   - Only names that Validate let through, and numbers, come into the text of a statement.
//
// It does not defend against two Apply at once: CREATE TABLE IF NOT EXISTS is not atomic in Cassandra, so run it from
// one place. It sees the settings of the one node that answers, not of every node. It does not see clocks, disks or
// whether a repair is due.
package schema

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"userinfo/store"
)

// DB is the little of Cassandra that schema needs. A statement that changes the schema returns once the nodes agree on
// it; the implementation sees to that.
type DB interface {
	// Query runs one statement and returns its rows by column name, in Go's counterparts of the CQL types: text is
	// string, int is int, boolean is bool, map<text,text> is map[string]string. A null is the zero value.
	Query(ctx context.Context, cql string, args ...any) ([]map[string]any, error)
}

// Table is one table and what the service does with it. MaxTTL is the largest TTL that it writes, from 1 s to 20 years;
// Fence is for how long it keeps a deleted key deleted, 0 for no fence.
type Table struct {
	Name   string
	Layout store.Layout
	MaxTTL time.Duration
	Fence  time.Duration
}

// Spec is the schema that a configuration asks for.
type Spec struct {
	Keyspace string
	// Replication is replicas by datacentre. Print and the creation of a keyspace need it; where it is given, a keyspace
	// that exists is held against it. A keyspace may have further datacentres.
	Replication     map[string]int
	LocalDatacentre string
	Tables          []Table
}

// Validate says what in s is wrong, all of it in one error. Keyspace and tables are [a-z][a-z0-9_]{0,47}; not every such
// name is free of CQL's reserved words, so statements quote them.
func (s Spec) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case !store.IsIdentifier(s.Keyspace):
		bad("keyspace %q: use a name of %s", s.Keyspace, store.IdentifierRule)
	case s.Keyspace == "system" || strings.HasPrefix(s.Keyspace, "system_"):
		bad("keyspace %q is Cassandra's own: use another", s.Keyspace)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Replication)) {
		if !isDatacentre(name) {
			bad("replication: datacentre %q: use a name as nodetool status prints it, of letters, digits, _, . and -", name)
		}
		if n := s.Replication[name]; n < 1 {
			bad("replication: datacentre %q has %d replicas: give it at least 1, or leave it out", name, n)
		}
	}
	if !isDatacentre(s.LocalDatacentre) {
		bad("local datacentre %q: use a name as nodetool status prints it, of letters, digits, _, . and -", s.LocalDatacentre)
	} else if _, ok := s.Replication[s.LocalDatacentre]; len(s.Replication) > 0 && !ok {
		bad("local datacentre %q is not in the replication: name it there with its replicas", s.LocalDatacentre)
	}
	if len(s.Tables) == 0 {
		bad("no tables: name at least one")
	}
	seen := map[string]bool{}
	for _, t := range s.Tables {
		if seen[t.Name] {
			bad("table %q is named twice: give each collection a table of its own", t.Name)
		}
		seen[t.Name] = true
		errs = append(errs, t.validate())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the schema's settings are wrong: %w", err)
	}
	return nil
}

func (t Table) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("table %q: %w", t.Name, fmt.Errorf(format, args...)))
	}
	if !store.IsIdentifier(t.Name) {
		bad("use a name of %s", store.IdentifierRule)
	}
	if Reserved(t.Name) {
		bad("is a table of the service's own: use another name")
	}
	if !t.Layout.IsValid() {
		bad("layout %q: use %q or %q", t.Layout, store.LayoutUserInfo, store.LayoutKask)
	}
	if !store.IsTTL(t.MaxTTL) {
		bad("largest TTL %v: use 1 second to 20 years", t.MaxTTL)
	}
	if t.Fence < 0 || t.Fence > store.LargestTTL {
		bad("fence %v: use 0 (none) to 20 years", t.Fence)
	}
	return errors.Join(errs...)
}

// gone says whether the table has the marker column.
func (t Table) gone() bool { return t.Layout.HasMarker(t.Fence) }

// longest is the largest TTL in the table, in seconds: of its values, or of its markers, which live as long as the fence.
func (t Table) longest() int {
	return int((max(t.MaxTTL, t.Fence) + time.Second - 1) / time.Second)
}

// gcGrace is the gc_grace_seconds that a table is given; cql/002_table.cql says why so many.
func (t Table) gcGrace() int {
	const hour = 3600
	return (t.longest()+hour-1)/hour*hour + hour
}

// isDatacentre is wider than store.IsIdentifier, since snitches make names such as "us-east_1" and "DC1". In CQL a datacentre
// stands in a quoted string, beside the two options of that map that are not datacentres.
func isDatacentre(name string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	return len(name) >= 1 && len(name) <= 64 && strings.Trim(name, allowed) == "" &&
		name != "class" && name != "replication_factor"
}
