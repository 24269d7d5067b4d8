package schema_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"userinfo/schema"
)

var errLost = errors.New("connection lost")

func lostAt(statement int) func(int) error {
	return func(n int) error {
		if n == statement {
			return errLost
		}
		return nil
	}
}

func TestCheckThatCannotTellIsAnError(t *testing.T) {
	all := asWanted(t)
	check(t, all, twoTables())
	for n := 1; n <= all.queries; n++ {
		f := asWanted(t)
		f.before = lostAt(n)
		found, err := schema.Check(t.Context(), f, twoTables())
		if !errors.Is(err, errLost) || !strings.Contains(err.Error(), "reading ") || found != nil {
			t.Errorf("statement %d lost: differences %v, error %v", n, found, err)
		}
	}
}

func TestApplyThatFailedHalfWayIsFinishedByTheNext(t *testing.T) {
	all := newFake(t)
	mends(t, all, twoTables(), 5)
	for n := 1; n <= all.queries; n++ {
		f := newFake(t)
		f.before = lostAt(n)
		log := slog.New(slog.DiscardHandler)
		if err := schema.Apply(t.Context(), f, twoTables(), log); err == nil {
			continue // this one came in fewer statements
		} else if !errors.Is(err, errLost) {
			t.Errorf("statement %d lost: error %v", n, err)
		}
		if err := schema.Apply(t.Context(), f, twoTables(), log); err != nil {
			t.Errorf("after statement %d was lost, the next Apply: %v", n, err)
		}
		if found := check(t, f, twoTables()); len(found.said) > 0 {
			t.Errorf("after statement %d was lost, the next Apply left %q", n, found.said)
		}
	}
}

func TestApplySaysWhenItsChangesDidNotStay(t *testing.T) {
	f := newFake(t)
	f.swallow = true
	err := schema.Apply(t.Context(), f, twoTables(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "still differs") || !strings.Contains(err.Error(), "table people.stash") {
		t.Errorf("error %v, want one that names what still differs", err)
	}
}

func TestARoleThatMayNotReadSettingsIsToldWhichGrantItNeeds(t *testing.T) {
	f := asWanted(t)
	f.before = lostAt(10)
	_, err := schema.Check(t.Context(), f, twoTables())
	if err == nil || !strings.Contains(err.Error(), "grant the role SELECT on system_views.settings") {
		t.Errorf("error %v, want one that names the grant", err)
	}
}

func TestASystemSchemaOfAnotherShapeIsAnError(t *testing.T) {
	for claim, live := range map[string]func(*fake){
		"replication":      func(f *fake) { f.keyspaces["people"].row["replication"] = "SimpleStrategy" },
		"gc_grace_seconds": func(f *fake) { option(f, "sessions", "gc_grace_seconds", int64(86400)) },
		"read_repair":      func(f *fake) { option(f, "stash", "read_repair", nil) },
		"position":         func(f *fake) { delete(f.keyspaces["people"].tables["stash"].columns["key"], "position") },
		"value":            func(f *fake) { f.settings["maximum_timestamp_fail_threshold"] = 5 },
	} {
		f := asWanted(t)
		live(f)
		_, err := schema.Check(t.Context(), f, twoTables())
		if err == nil || !strings.Contains(err.Error(), "column "+claim+" is a ") {
			t.Errorf("%s: error %v, want one that names the column", claim, err)
		}
	}
}
