package schema_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"userinfo/schema"
)

// twoDatacentres returns an empty Cassandra of three nodes in dc1 and two in dc2.
func twoDatacentres(t *testing.T) *fakeCassandra {
	f := newFake(t)
	f.nodes = append(f.nodes,
		fakeNode{address: "10.1.0.2", datacentre: "dc1", delay: 100 * time.Millisecond},
		fakeNode{address: "10.1.0.3", datacentre: "dc1", delay: 300 * time.Millisecond},
		fakeNode{address: "10.2.0.1", datacentre: "dc2", delay: 300 * time.Millisecond},
		fakeNode{address: "10.2.0.2", datacentre: "dc2", delay: 300 * time.Millisecond})
	return f
}

// told is what Apply told with its events.
type told struct {
	kinds   []schema.EventKind // without Waiting and Missing
	waiting []string           // the nodes of each Waiting
	missing []string           // the nodes of Missing
}

func (all *told) add(e schema.Event) {
	switch e.Kind {
	case schema.Waiting:
		all.waiting = append(all.waiting, strings.Join(e.Nodes, ", "))
	case schema.Missing:
		all.missing = e.Nodes
	default:
		all.kinds = append(all.kinds, e.Kind)
	}
}

func TestApply_WaitsForLiveNodesOnly(t *testing.T) {
	const (
		last    = "10.2.0.2 (dc2)"
		down    = ", which is down; it gets the schema when it returns"
		maybe   = ", which did not get the schema within 10s and is probably down; it gets the schema when it returns"
		refuses = ", which is up but did not get the schema within 1m0s: read its log"
	)
	for name, c := range map[string]struct {
		change  func(*fakeCassandra)
		once    time.Duration // how long Apply may wait once, beside half a second for each statement
		each    time.Duration // how long Apply may wait for each statement in addition
		waiting string        // Apply waits for these nodes at some time
		missing []string      // at the end
	}{
		"all nodes are up": {waiting: "10.1.0.3 (dc1), 10.2.0.1 (dc2), 10.2.0.2 (dc2)"},
		"a node of the other datacentre is down": {
			change: func(f *fakeCassandra) { f.nodes[4].down = true }, once: 5 * time.Second, waiting: last, missing: []string{last + down},
		},
		"the other datacentre is down": {
			change: func(f *fakeCassandra) { f.nodes[3].down, f.nodes[4].down = true, true },
			once:   5 * time.Second, waiting: "10.2.0.1 (dc2), 10.2.0.2 (dc2)", missing: []string{"10.2.0.1 (dc2)" + down, last + down},
		},
		"a node needs ten seconds": {
			change: func(f *fakeCassandra) { f.nodes[4].delay = 10 * time.Second }, each: 10 * time.Second, waiting: last,
		},
		"a node is up and never gets the schema": {
			change: func(f *fakeCassandra) { f.nodes[4].delay = 24 * time.Hour },
			once:   time.Minute, waiting: last, missing: []string{last + refuses},
		},
		"heartbeats may not be read": {
			change: func(f *fakeCassandra) { f.nodes[4].down, f.noGossip = true, refusal(0x2100) },
			once:   10 * time.Second, waiting: last, missing: []string{last + maybe},
		},
		"Cassandra has no table of heartbeats": {
			change: func(f *fakeCassandra) { f.nodes[4].down, f.noGossip = true, refusal(0x2200) },
			once:   10 * time.Second, waiting: last, missing: []string{last + maybe},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := twoDatacentres(t)
				if c.change != nil {
					c.change(f)
				}
				began := time.Now()
				var got told
				if err := schema.Apply(t.Context(), f, twoTables(), got.add); err != nil {
					t.Fatal(err)
				}
				changes := len(f.changes)
				longest := c.once + time.Duration(changes)*(c.each+time.Second/2)
				if took := time.Since(began); took > longest {
					t.Errorf("Apply took %v, want at most %v", took, longest)
				}
				if want := slices.Repeat([]schema.EventKind{schema.Changing, schema.Changed}, changes); !slices.Equal(got.kinds, want) {
					t.Errorf("Apply told the events %v, want %v", got.kinds, want)
				}
				if !slices.Contains(got.waiting, c.waiting) {
					t.Errorf("Apply told that it waits for %q, want %s", got.waiting, c.waiting)
				}
				if !slices.Equal(got.missing, c.missing) {
					t.Errorf("at the end Apply told %q, want %q", got.missing, c.missing)
				}
			})
		})
	}
}

func TestApply_TellsMissingNodesWithoutChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twoDatacentres(t)
		if err := schema.Apply(t.Context(), f, twoTables(), nil); err != nil {
			t.Fatal(err)
		}
		f.nodes[4].down, f.nodes[4].has = true, 3
		var got told
		if err := schema.Apply(t.Context(), f, twoTables(), got.add); err != nil {
			t.Fatal(err)
		}
		if len(got.kinds) > 0 || !strings.HasPrefix(fmt.Sprint(got.missing), "[10.2.0.2 (dc2), which is down") {
			t.Errorf("Apply told %+v, want the node that is down", got)
		}
	})
}

func TestApply_ContinuesAfterInterruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := twoDatacentres(t)
		f.nodes[4].delay = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := schema.Apply(ctx, f, twoTables(), nil)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "run this again") {
			t.Errorf("interrupted: error %v, want one that says to run it again", err)
		}
		if len(f.changes) != 1 {
			t.Errorf("interrupted Apply ran %q, want one statement", f.changes)
		}
		f.nodes[4].delay = 0
		applyFixes(t, f, twoTables(), 5)
	})
}
