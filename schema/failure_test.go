package schema_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"userinfo/schema"
)

var errConnectionLost = errors.New("connection lost")

// failAt returns a function for fakeCassandra.before that fails one statement.
func failAt(statement int) func(int) error {
	return func(n int) error {
		if n == statement {
			return errConnectionLost
		}
		return nil
	}
}

func TestCheck_ReturnsErrorWhenQueryFails(t *testing.T) {
	whole := asWanted(t)
	check(t, whole, twoTables())
	for n := 1; n <= whole.queries; n++ {
		f := asWanted(t)
		f.before = failAt(n)
		found, err := schema.Check(t.Context(), f, twoTables())
		if !errors.Is(err, errConnectionLost) || !strings.Contains(err.Error(), "reading ") || found != nil {
			t.Errorf("statement %d lost: differences %v, error %v", n, found, err)
		}
	}
}

func TestApply_CompletesAfterFailure(t *testing.T) {
	whole := newFake(t)
	applyFixes(t, whole, twoTables(), 5)
	for n := 1; n <= whole.queries; n++ {
		f := newFake(t)
		f.before = failAt(n)
		log := slog.New(slog.DiscardHandler)
		if err := schema.Apply(t.Context(), f, twoTables(), log); err == nil {
			continue // this Apply needed fewer statements
		} else if !errors.Is(err, errConnectionLost) {
			t.Errorf("statement %d lost: error %v", n, err)
		}
		if err := schema.Apply(t.Context(), f, twoTables(), log); err != nil {
			t.Errorf("after statement %d was lost, the next Apply: %v", n, err)
		}
		if found := check(t, f, twoTables()); len(found.texts) > 0 {
			t.Errorf("after statement %d was lost, the next Apply left %q", n, found.texts)
		}
	}
}

func TestApply_ReportsChangesWithoutEffect(t *testing.T) {
	f := newFake(t)
	f.swallow = true
	err := schema.Apply(t.Context(), f, twoTables(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "still differs") || !strings.Contains(err.Error(), "table people.stash") {
		t.Errorf("error %v, want one that names the remaining difference", err)
	}
}

func TestCheck_NamesMissingGrantOnSettings(t *testing.T) {
	f := asWanted(t)
	f.before = failAt(10)
	_, err := schema.Check(t.Context(), f, twoTables())
	if err == nil || !strings.Contains(err.Error(), "grant the role SELECT on system_views.settings") {
		t.Errorf("error %v, want one that names the grant", err)
	}
}

func TestCheck_ReportsUnexpectedColumnType(t *testing.T) {
	for name, change := range map[string]func(*fakeCassandra){
		"replication":      func(f *fakeCassandra) { f.keyspaces["people"].row["replication"] = "SimpleStrategy" },
		"gc_grace_seconds": func(f *fakeCassandra) { setOption(f, "sessions", "gc_grace_seconds", int64(86400)) },
		"read_repair":      func(f *fakeCassandra) { setOption(f, "stash", "read_repair", nil) },
		"position":         func(f *fakeCassandra) { delete(f.keyspaces["people"].tables["stash"].columns["key"], "position") },
		"value":            func(f *fakeCassandra) { f.settings["maximum_timestamp_fail_threshold"] = 5 },
	} {
		f := asWanted(t)
		change(f)
		_, err := schema.Check(t.Context(), f, twoTables())
		if err == nil || !strings.Contains(err.Error(), "column "+name+" is a ") {
			t.Errorf("%s: error %v, want one that names the column", name, err)
		}
	}
}
