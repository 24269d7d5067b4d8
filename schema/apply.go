package schema

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Apply changes the live schema to match s. It creates a missing keyspace and missing tables, adds the marker column to a
// table that has a fence, and raises a gc_grace_seconds that is too low. If anything else differs that is not a warning, it
// changes nothing and returns an error that names every such difference and its remedy. Apply calls tell for every step;
// tell may be nil. Apply may run again at any time, but not twice at the same time.
//
// After each statement, Apply waits until all live nodes have the change, at most a minute. It also waits for a node that is
// down, but only once and for some seconds. Such a node gets the schema when it returns.
//
// If a statement fails or ctx ends, the changes before it stay: run Apply again. If gc_grace_seconds was too low, Cassandra
// may have purged tombstones already. Values that were deleted during the last largest TTL may then reappear until they
// expire.
func Apply(ctx context.Context, db DB, s Spec, tell func(Event)) error {
	if tell == nil {
		tell = func(Event) {}
	}
	scripts, err := newScripts(s)
	if err == nil {
		err = apply(ctx, db, s, scripts, tell)
	}
	if err != nil {
		return fmt.Errorf("applying the schema: %w", err)
	}
	return nil
}

func apply(ctx context.Context, db DB, s Spec, scripts scripts, tell func(Event)) error {
	found, err := inspect(ctx, db, s, scripts)
	if err != nil {
		return err
	}
	fixes, err := sortFindings(found, tell)
	if err != nil {
		return err
	}
	nodes := newAgreement(db)
	missing, err := nodes.wait(ctx, func(late []string) { tell(Event{Kind: Waiting, Nodes: late}) })
	if err != nil {
		return err
	}
	for _, f := range fixes {
		if missing, err = change(ctx, db, f, nodes, tell); err != nil {
			return fmt.Errorf("%s: %w (repair the cause and run this again, it continues here)", f.Object, err)
		}
	}
	if len(missing) > 0 {
		tell(Event{Kind: Missing, Nodes: missing})
	}
	if len(fixes) == 0 {
		return nil
	}
	found, err = inspect(ctx, db, s, scripts)
	if err != nil {
		return fmt.Errorf("checking the result: %w", err)
	}
	if found = slices.DeleteFunc(found, func(f finding) bool { return f.Warning }); len(found) > 0 {
		return fmt.Errorf("every statement succeeded, but the schema still differs (does another process change it?):%s", list(found))
	}
	return nil
}

// sortFindings calls tell for each warning and returns the findings that Apply can remove. It returns an error if there is
// any other finding.
func sortFindings(found []finding, tell func(Event)) (fixes []finding, err error) {
	var refused []finding
	for _, f := range found {
		switch {
		case f.Warning:
			tell(Event{Kind: Warned, Difference: f.Difference})
		case f.fix == "":
			refused = append(refused, f)
		default:
			fixes = append(fixes, f)
		}
	}
	if len(refused) > 0 {
		return nil, fmt.Errorf("nothing was changed, because these differences need an operator:%s", list(refused))
	}
	return fixes, nil
}

// change runs the statement of one finding and waits until the live nodes have the change. It returns the nodes that do not
// have it, each with the reason.
func change(ctx context.Context, db DB, f finding, nodes *agreement, tell func(Event)) (missing []string, err error) {
	event := Event{Kind: Changing, Difference: f.Difference, Statement: f.fix}
	tell(event)
	began := time.Now()
	_, err = db.Query(ctx, f.fix)
	switch {
	case hasCode(err, codeUnavailable) || hasCode(err, codeWriteTimeout):
		// The change itself has succeeded: only the automatic grants of the creator are written at a consistency level, and after it.
		tell(Event{Kind: Warned, Difference: warning("grants of the role on "+f.Object, "written by Cassandra", "not written, because too few replicas of system_auth are up ("+err.Error()+")",
			"ignore it if the role has the grants that docs/operations.md lists").Difference})
	case err != nil:
		return nil, fmt.Errorf("running %s: %w", f.fix, err)
	}
	missing, err = nodes.wait(ctx, func(late []string) {
		event.Kind, event.Took, event.Nodes = Waiting, time.Since(began), late
		tell(event)
	})
	if err != nil {
		return nil, fmt.Errorf("waiting until the live nodes have the change: %w", err)
	}
	event.Kind, event.Took, event.Nodes = Changed, time.Since(began), nil
	tell(event)
	return missing, nil
}

// list returns one indented line for each finding.
func list(found []finding) string {
	var b strings.Builder
	for _, f := range found {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}
