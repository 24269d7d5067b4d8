// Package schema creates UserInfo's keyspace and tables in Cassandra 4.0 or later, and checks that a live schema is what
// the service needs.
//
// The schema consists of the numbered files in cql/. A file is one CQL statement with comments that explain it. The
// statements run in the order of their numbers, and a number is never used again. There is no table of migrations: the
// package compares the live schema with the wanted one. cql/roles.cql is no part of the schema: Roles prints it for a superuser.
//
// Invariants:
//
//  1. Apply never drops anything, never changes a type or a replication, and never lowers gc_grace_seconds.
//  2. Apply changes nothing unless it can remove every difference that is not a warning. A second Apply changes nothing.
//  3. Check and Print change nothing. After Apply, Check finds nothing but warnings: both use the same comparison.
//  4. A statement contains only names that Validate accepts, and numbers.
//  5. A warning keeps neither Apply nor the service from working.
//
// The package does not defend against two Apply at the same time, because CREATE TABLE IF NOT EXISTS is not atomic in
// Cassandra: run it from one place. It does not see settings of nodes that are down or in another datacentre. It does not see
// clocks, disks, or whether a repair is overdue.
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

// DB runs CQL statements. For Apply, all statements must run on the same node of the local datacentre, as long as it is up.
// A DB does not wait until other nodes have a change of the schema: Apply does. If Cassandra refuses a statement, the error
// wraps an error with the method Code() int, which returns the CQL protocol's code.
type DB interface {
	// Query runs one statement and returns its rows. A row maps column names to values: text is a string, int an int,
	// boolean a bool, and map<text,text> a map[string]string. A null is the zero value.
	Query(ctx context.Context, cql string, args ...any) ([]map[string]any, error)
	// Nodes returns the IP addresses of the local datacentre's nodes that are up, sorted as text.
	Nodes() []string
	// QueryNode is Query on the node with this address, and on no other.
	QueryNode(ctx context.Context, address, cql string, args ...any) ([]map[string]any, error)
}

// Table is the table of one collection.
type Table struct {
	Name   string
	Layout store.Layout
	MaxTTL time.Duration // the largest TTL that the service writes, from 1 s to 20 years
	Fence  time.Duration // how long a deleted key stays deleted; 0: no fence
	// MaxValueBytes is the size of the largest value that the service writes. If it is 0, Cassandra's limits are not checked.
	MaxValueBytes int64
	// MustExist means that a missing table is a mistake in the configuration, so that Apply does not create it.
	MustExist bool
}

// Spec is the schema that a configuration needs.
type Spec struct {
	Keyspace string
	// Replication is the number of replicas by datacentre. Print and the creation of a keyspace need it. If it is empty, an
	// existing keyspace may have any replication with replicas in LocalDatacentre. A keyspace may have more datacentres.
	Replication     map[string]int
	LocalDatacentre string
	Tables          []Table
	// Passwords says that the service keeps passwords. Then it needs the tables of passwords, and Tables may be empty.
	Passwords bool
}

// Validate returns an error that names every mistake in s, or nil. Names of keyspaces and tables match
// [a-z][a-z0-9_]{0,47}. Such a name may be a reserved word of CQL, so statements quote it.
func (s Spec) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case !store.IsIdentifier(s.Keyspace):
		bad("keyspace %q: use a name of %s", s.Keyspace, store.IdentifierRule)
	case s.Keyspace == "system" || strings.HasPrefix(s.Keyspace, "system_"):
		bad("keyspace %q is Cassandra's own: use another name", s.Keyspace)
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
	if len(s.Tables) == 0 && !s.Passwords {
		bad("no tables: name at least one")
	}
	seen := map[string]bool{}
	for _, t := range s.Tables {
		if seen[t.Name] {
			bad("table %q is named twice: give each collection its own table", t.Name)
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
		bad("is reserved for the service: use another name")
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

// hasMarker reports whether the table needs the marker column.
func (t Table) hasMarker() bool { return t.Layout.HasMarker(t.Fence) }

// largestTTL returns the largest TTL in the table, in seconds, rounded up. If the lead of a tombstone is longer, it returns
// the lead: Cassandra must keep the tombstone while its timestamp is in the future, because it hides late writes.
func (t Table) largestTTL() int {
	return int((max(t.MaxTTL, store.TombstoneLead(t.Fence)) + time.Second - 1) / time.Second)
}

// gcGrace returns the gc_grace_seconds of a new table. cql/002_table.cql explains the value.
func (t Table) gcGrace() int {
	const hour = 3600
	return (t.largestTTL()+hour-1)/hour*hour + hour
}

// isDatacentre reports whether a datacentre can have this name. It allows more than store.IsIdentifier, because snitches
// create names such as "us-east_1" and "DC1". CQL writes a datacentre as a quoted key in the replication map, whose other
// keys are class and replication_factor.
func isDatacentre(name string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	return len(name) >= 1 && len(name) <= 64 && strings.Trim(name, allowed) == "" &&
		name != "class" && name != "replication_factor"
}
