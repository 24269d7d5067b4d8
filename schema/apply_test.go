package schema_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/schema"
)

// applyFixes checks that Apply removes all differences with this number of statements, and that a second Apply runs none.
func applyFixes(t *testing.T, f *fakeCassandra, s schema.Spec, changes int) {
	t.Helper()
	for round, want := range []int{changes, 0} {
		f.changes = nil
		if err := schema.Apply(t.Context(), f, s, nil); err != nil {
			t.Fatalf("Apply: %v", err)
		}
		if len(f.changes) != want {
			t.Errorf("Apply no. %d ran %q, want %d statements", round+1, f.changes, want)
		}
	}
	if found := check(t, f, s); len(found.texts) > 0 {
		t.Errorf("after Apply these differences remain: %q", found.texts)
	}
}

// applyRefuses checks that Apply changes nothing and names the differences that need an operator.
func applyRefuses(t *testing.T, f *fakeCassandra, s schema.Spec, found checkResult) {
	t.Helper()
	err := schema.Apply(t.Context(), f, s, nil)
	if err == nil {
		t.Fatal("Apply succeeded, want it refused")
	}
	needOperator := 0
	for i, text := range found.texts {
		if !strings.Contains(found.remedies[i], "run `userinfo schema apply` (") {
			needOperator++
			if !strings.Contains(err.Error(), text+"; "+found.remedies[i]) {
				t.Errorf("Apply's error does not name %q:\n%v", text, err)
			}
		}
	}
	if needOperator == 0 {
		t.Errorf("Apply refused a fixable difference: %v", err)
	}
	if len(f.changes) > 0 {
		t.Errorf("Apply refused but ran %q", f.changes)
	}
}

func TestApply_SetsGCGraceToLargestTTLPlusOneHour(t *testing.T) {
	for ttl, want := range map[time.Duration]int{
		time.Second: 7200, time.Hour: 7200, time.Hour + time.Second: 10800, day: 90000, 20 * 365 * day: 630723600,
	} {
		s, f := twoTables(), newFake(t)
		s.Tables = s.Tables[:1]
		s.Tables[0].MaxTTL, s.Tables[0].Fence = ttl, 0
		applyFixes(t, f, s, 5)
		if have := f.keyspaces["people"].tables["sessions"].row["gc_grace_seconds"]; have != want {
			t.Errorf("largest TTL %v: gc_grace_seconds is %v, want %d", ttl, have, want)
		}
	}
}

func TestApply_CreatesSpec(t *testing.T) {
	f := newFake(t)
	s := twoTables()
	s.Replication = map[string]int{"us-east_1": 3, "DC1": 1}
	s.LocalDatacentre = "DC1"
	applyFixes(t, f, s, 6)
	want := map[string]string{"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "us-east_1": "3", "DC1": "1"}
	if have := f.keyspaces["people"].row["replication"].(map[string]string); !maps.Equal(have, want) {
		t.Errorf("replication is %v, want %v", have, want)
	}
}

func TestApply_CompletesAfterFailure(t *testing.T) {
	whole := newFake(t)
	applyFixes(t, whole, twoTables(), 6)
	for n := 1; n <= whole.queries; n++ {
		f := newFake(t)
		f.before = failAt(n)
		if err := schema.Apply(t.Context(), f, twoTables(), nil); err == nil {
			continue // this Apply needed fewer statements
		} else if !errors.Is(err, errConnectionLost) {
			t.Errorf("statement %d lost: error %v", n, err)
		}
		if err := schema.Apply(t.Context(), f, twoTables(), nil); err != nil {
			t.Errorf("after statement %d was lost, the next Apply: %v", n, err)
		}
		if found := check(t, f, twoTables()); len(found.texts) > 0 {
			t.Errorf("after statement %d was lost, the next Apply left %q", n, found.texts)
		}
	}
}

// With Cassandra 5.0, CREATE writes grants for its role at EACH_QUORUM after the change. A datacentre may be down.
func TestApply_GoesOnWithoutGrantsOfCreator(t *testing.T) {
	for _, code := range []refusal{0x1000, 0x1100} {
		f := newFake(t)
		f.applied = code
		var got told
		if err := schema.Apply(t.Context(), f, twoTables(), got.add); err != nil {
			t.Errorf("code %#x: %v", int(code), err)
		}
		if found := check(t, f, twoTables()); len(found.texts) > 0 || !slices.Contains(got.kinds, schema.Warned) {
			t.Errorf("code %#x: these differences remain: %q; told %v", int(code), found.texts, got.kinds)
		}
	}
	f := newFake(t)
	f.applied = refusal(0x2200)
	if err := schema.Apply(t.Context(), f, twoTables(), nil); !errors.Is(err, f.applied) {
		t.Errorf("error %v, want %v", err, f.applied)
	}
}

func TestApply_ReportsChangesWithoutEffect(t *testing.T) {
	f := newFake(t)
	f.swallow = true
	err := schema.Apply(t.Context(), f, twoTables(), nil)
	if err == nil || !strings.Contains(err.Error(), "still differs") || !strings.Contains(err.Error(), "table people.stash") {
		t.Errorf("error %v, want one that names the remaining difference", err)
	}
}
