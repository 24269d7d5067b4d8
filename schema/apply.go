package schema

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// Apply makes the live schema what s asks for: it creates what is missing, adds the marker column to a table that has a
// fence, and raises a gc_grace_seconds that is too low. Where something else differs it changes nothing and returns an
// error that names each difference and its remedy. It may be run at any time and any number of times, by one at a time.
//
// After an error in the middle what was done stays; run it again. A gc_grace_seconds that was too low before may have
// let go of tombstones already: what was deleted during the largest TTL before Apply may still come back, until it
// expires.
func Apply(ctx context.Context, db DB, s Spec, log *slog.Logger) error {
	all, err := newScripts(s)
	if err != nil {
		return fmt.Errorf("applying the schema: %w", err)
	}
	found, err := inspect(ctx, db, s, all)
	if err != nil {
		return fmt.Errorf("applying the schema: %w", err)
	}
	var refused []finding
	for _, f := range found {
		if f.fix == "" {
			refused = append(refused, f)
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("applying the schema: nothing was changed, for this is the operator's to change:%s", list(refused))
	}
	if len(found) == 0 {
		log.InfoContext(ctx, "the schema needs no change", "keyspace", s.Keyspace)
		return nil
	}
	for _, f := range found {
		log.InfoContext(ctx, "changing the schema", "object", f.Object, "have", f.Have, "want", f.Want, "statement", f.fix)
		if _, err := db.Query(ctx, f.fix); err != nil {
			return fmt.Errorf("applying the schema: %s: running %s (run it again once this is mended): %w", f.Object, f.fix, err)
		}
	}
	found, err = inspect(ctx, db, s, all)
	if err != nil {
		return fmt.Errorf("applying the schema: looking at the result: %w", err)
	}
	if len(found) > 0 {
		return fmt.Errorf("applying the schema: every statement succeeded, yet there still differs (is somebody else "+
			"changing it?):%s", list(found))
	}
	return nil
}

func list(found []finding) string {
	var b strings.Builder
	for _, f := range found {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}
