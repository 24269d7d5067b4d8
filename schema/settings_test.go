package schema_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"userinfo/schema"
)

// refusal is an error of Cassandra with a code of the CQL protocol.
type refusal int

func (r refusal) Error() string { return fmt.Sprintf("refused with code %#x", int(r)) }
func (r refusal) Code() int     { return int(r) }

// settingsQuery is the number of Check's statement that reads the settings.
const settingsQuery = 13

func failWith(statement int, err error) func(int) error {
	return func(n int) error {
		if n == statement {
			return err
		}
		return nil
	}
}

func TestCheck_WarnsWithoutGrantOnSettings(t *testing.T) {
	f := asWanted(t)
	f.before = failWith(settingsQuery, fmt.Errorf("wrapped: %w", refusal(0x2100)))
	found, err := schema.Check(t.Context(), f, twoTables())
	if err != nil || len(found) != 2 {
		t.Fatalf("Check: %v, %v, want two warnings", found, err)
	}
	if got := found[0].String(); !found[0].Warning || !strings.Contains(got, "GRANT SELECT ON system_views.settings TO") {
		t.Errorf("Check warns %q, want the grant", got)
	}
	// An authorizer refused, so there is one, and the roles must be replicated.
	if found[1].Object != "keyspace system_auth replication" {
		t.Errorf("Check says %q", found[1])
	}
	if blocking := schema.Blocking(found); len(blocking) > 0 {
		t.Errorf("these keep the service from serving: %q", blocking)
	}
}

func TestCheck_ReturnsOtherErrorsOfSettings(t *testing.T) {
	for _, refused := range []error{refusal(0x2200), errConnectionLost} {
		f := asWanted(t)
		f.before = failWith(settingsQuery, refused)
		if _, err := schema.Check(t.Context(), f, twoTables()); !errors.Is(err, refused) {
			t.Errorf("Check: %v, want %v", err, refused)
		}
	}
}

// warnings checks that Check returns these warnings and nothing else, and that they do not keep Apply from its work.
func warnings(t *testing.T, f *fakeCassandra, s schema.Spec, want []string, remedy string) {
	t.Helper()
	found := check(t, f, s)
	if !slices.Equal(found.texts, want) {
		t.Errorf("Check says\n  %s\nwant\n  %s", strings.Join(found.texts, "\n  "), strings.Join(want, "\n  "))
	}
	if len(want) > 0 && !strings.Contains(found.remedies[0], remedy) {
		t.Errorf("the remedy is %q, want one with %q", found.remedies[0], remedy)
	}
	for _, r := range found.remedies {
		if !strings.HasPrefix(r, "`userinfo schema apply` cannot change this: ") {
			t.Errorf("the remedy %q does not say that apply cannot help", r)
		}
	}
	all, err := schema.Check(t.Context(), f, s)
	if blocking := schema.Blocking(all); err != nil || len(blocking) > 0 {
		t.Errorf("%v; these keep the service from serving: %q", err, blocking)
	}
	delete(f.keyspaces["people"].tables, "sessions")
	var warned []string
	err = schema.Apply(t.Context(), f, s, func(e schema.Event) {
		if e.Kind == schema.Warned {
			warned = append(warned, strings.TrimSuffix(e.Difference.String(), "; "+e.Difference.Remedy))
		}
	})
	if err != nil {
		t.Errorf("Apply: %v", err)
	}
	if len(f.changes) != 1 || !strings.HasPrefix(f.changes[0], `CREATE TABLE IF NOT EXISTS "people"."sessions"`) {
		t.Errorf("Apply ran %q, want only the table", f.changes)
	}
	if !slices.Equal(warned, want) {
		t.Errorf("Apply warns %q, want %q", warned, want)
	}
}
