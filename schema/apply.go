package schema

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Apply changes the live schema to match s. It creates a missing keyspace and missing tables, adds the marker column to a
// table that has a fence, and raises a gc_grace_seconds that is too low. If anything else differs, it changes nothing and
// returns an error that names every such difference and its remedy. Apply may run again at any time, but only once at a
// time.
//
// If a statement fails, the changes before it stay: run Apply again. If gc_grace_seconds was too low, Cassandra may have
// purged tombstones already. Values that were deleted during the last largest TTL may then reappear until they expire.
func Apply(ctx context.Context, db DB, s Spec, log *slog.Logger) error {
	scripts, err := newScripts(s)
	if err != nil {
		return fmt.Errorf("applying the schema: %w", err)
	}
	found, err := inspect(ctx, db, s, scripts)
	if err != nil {
		return fmt.Errorf("applying the schema: %w", err)
	}
	var refused, fixes []finding
	for _, f := range found {
		switch {
		case f.Warning:
			log.WarnContext(ctx, "a setting outside of the keyspace needs an operator", "object", f.Object, "have", f.Have, "want", f.Want, "remedy", f.Remedy)
		case f.fix == "":
			refused = append(refused, f)
		default:
			fixes = append(fixes, f)
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("applying the schema: nothing was changed, because these differences need an operator:%s", list(refused))
	}
	if len(fixes) == 0 {
		log.InfoContext(ctx, "the schema needs no change", "keyspace", s.Keyspace)
		return nil
	}
	for _, f := range fixes {
		log.InfoContext(ctx, "changing the schema", "object", f.Object, "have", f.Have, "want", f.Want, "statement", f.fix)
		if _, err := db.Query(ctx, f.fix); err != nil {
			return fmt.Errorf("applying the schema: %s: running %s (repair the cause and run this again): %w", f.Object, f.fix, err)
		}
	}
	found, err = inspect(ctx, db, s, scripts)
	if err != nil {
		return fmt.Errorf("applying the schema: checking the result: %w", err)
	}
	if found = slices.DeleteFunc(found, func(f finding) bool { return f.Warning }); len(found) > 0 {
		return fmt.Errorf("applying the schema: every statement succeeded, but the schema still differs (does another "+
			"process change it?):%s", list(found))
	}
	return nil
}

// list returns one indented line for each finding.
func list(found []finding) string {
	var b strings.Builder
	for _, f := range found {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}
