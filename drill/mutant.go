package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/testcluster"
)

// mutant is a bug that is planted into the program, to see whether the drill finds it.
type mutant struct {
	name  string
	what  string
	edits []edit
	fault string // under which it shows
	must  string // the invariant that must be seen broken
}

const collection = "store/collection.go"

// mutants are all there are. Each is an edit of the source as it is now: where the source has changed so that an edit
// does not fit any more, making the mutant fails.
func mutants() []mutant {
	return []mutant{
		{name: "delete-local-quorum", what: "a delete is content with the local datacentre", fault: "partition-drop", must: "I1",
			edits: []edit{{"store/cassandra/table.go", "consistency = true, gocql.EachQuorum", "consistency = true, gocql.LocalQuorum"}}},
		{name: "touch-now", what: "a touch is dated now, not just after the value it read", fault: "none", must: "I3",
			edits: []edit{{collection, "key, r.data, r.timestamp+1, ttl)", "key, r.data, c.stamps.next(), ttl)"}}},
		{name: "any-datacentre", what: "coordinators of every datacentre are asked", fault: "none", must: "I5",
			edits: []edit{
				{"store/cassandra/config.go", "\td.HostFilter = gocql.DataCentreHostFilter(c.LocalDatacentre)\n", ""},
				{"store/cassandra/coordinator/nodes.go", "gocql.DCAwareRoundRobinPolicy(localDatacentre)", "gocql.RoundRobinHostPolicy()"},
			}},
		{name: "timestamp-per-attempt", what: "each attempt of a set is dated anew", fault: "node-deaf-often", must: "I3",
			edits: []edit{{"store/cassandra/table.go",
				"return struct{}{}, t.query(ctx, cql, args...).Exec()",
				"args := append([]any(nil), args...)\n\t\tif cql == t.cql.write {\n\t\t\targs[0] = max(args[0].(int64), time.Now().UnixMicro())\n\t\t}\n\t\treturn struct{}{}, t.query(ctx, cql, args...).Exec()"}}},
		{name: "no-marker", what: "a delete leaves no marker", fault: "none", must: "I1",
			edits: []edit{{"store/cassandra/table.go", "if d.MarkerTTL > 0 {", "if d.MarkerTTL < 0 {"}}},
		{name: "tombstone-now", what: "a delete's tombstone is dated now", fault: "clock-10s", must: "I1",
			edits: []edit{{collection, "r := removal{tombstone: max(now+TombstoneLead(c.config.Fence).Microseconds(), seen+1), marker: now}",
				"r := removal{tombstone: now, marker: now}"}}},
		{name: "ttl-ignored", what: "a set lives for as long as any may", fault: "none", must: "I4",
			edits: []edit{{collection, "c.rows.write(ctx, key, data, timestamp, ttl)", "c.rows.write(ctx, key, data, timestamp, c.config.MaxTTL)"}}},
		{name: "cache", what: "what was read is believed for a second", fault: "none", must: "I3",
			edits: []edit{
				{collection, "\tr, err := c.rows.read(ctx, key)\n\tif err != nil {\n\t\treturn Value{}, fmt.Errorf(\"reading a value: %w\", err)",
					"\tif kept, ok := drillCache.Load(key); ok && time.Since(kept.(drillKept).at) < time.Second {\n\t\treturn kept.(drillKept).value, nil\n\t}\n" +
						"\tdefer func() {\n\t\tif err == nil {\n\t\t\tdrillCache.Store(key, drillKept{v, time.Now()})\n\t\t}\n\t}()\n" +
						"\tr, err := c.rows.read(ctx, key)\n\tif err != nil {\n\t\treturn Value{}, fmt.Errorf(\"reading a value: %w\", err)"},
				{collection, "// Get implements Store.\n", "var drillCache sync.Map\n\ntype drillKept struct {\n\tvalue Value\n\tat    time.Time\n}\n\n// Get implements Store.\n"},
			}},
		{name: "204-after-failure", what: "a delete that failed elsewhere is said to be done", fault: "partition-drop", must: "I1",
			edits: []edit{{collection, "return fmt.Errorf(\"%w: %w\", ErrNotEverywhere, everywhere)", "return nil"}}},
		{name: "pending-dropped", what: "deletes that are pending are forgotten", fault: "hints-off", must: "I2",
			edits: []edit{{collection, "recorded = c.rows.pend(ctx, key, r)", "recorded = nil"}}},
	}
}

func mutantNamed(name string) (*mutant, bool) {
	all := mutants()
	i := slices.IndexFunc(all, func(m mutant) bool { return m.name == name })
	if i < 0 {
		return nil, false
	}
	return &all[i], true
}

// mutantFaults are those under which some mutants show best.
func mutantFaults() []fault {
	const deaf, hearing = 3 * time.Second, 5 * time.Second
	return []fault{
		{name: "none", what: "nothing", expect: history.Strain, begin: nothing},
		{name: "node-deaf-often", what: "one node hears none of the others for 3 s, again and again", expect: history.OneNode, length: time.Minute, begin: nothing,
			during: func(ctx context.Context, d *drill, length time.Duration) error {
				for end := time.Now().Add(length); time.Now().Before(end); {
					link := testcluster.Link{From: d.cluster.Others(d.victim()), To: []*testcluster.Node{d.victim()}, OneWay: true}
					if err := d.cluster.Cut(ctx, link); err != nil || !sleep(ctx, deaf) {
						return errors.Join(err, ctx.Err())
					}
					if err := d.cluster.HealAll(ctx); err != nil || !sleep(ctx, hearing) {
						return errors.Join(err, ctx.Err())
					}
				}
				return nil
			}},
	}
}
