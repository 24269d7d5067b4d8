package main

import (
	"context"
	_ "embed"
	"slices"
	"strings"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/report"
	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// mutant is a bug that is planted in the service, to test whether the drill finds it.
//
// Most mutants are a wrapper around store.Rows, in mutant_rows.go.txt. The others replace text in the source of the service.
// If the source no longer contains that text, building the mutant fails.
type mutant struct {
	name        string
	description string
	fault       string // the fault that shows the bug
	invariant   string // the invariant that must find the bug
	wrapsRows   bool   // the bug is in mutant_rows.go.txt
	edits       []fleet.Edit
}

// mutants returns all mutants.
func mutants() []mutant {
	return []mutant{
		{name: "delete-local-quorum", description: "a delete writes to the local datacentre only", fault: "partition-drop", invariant: "I1", wrapsRows: true},
		{name: "touch-now", description: "a touch uses the current time as its timestamp", fault: "none", invariant: "I3", wrapsRows: true},
		{name: "any-datacentre", description: "nodes of every datacentre are used as coordinators", fault: "none", invariant: "I5",
			edits: []fleet.Edit{{File: "store/cassandra/config.go", Old: "\td.HostFilter = gocql.DataCentreHostFilter(c.LocalDatacentre)\n"}}},
		{name: "timestamp-per-attempt", description: "each attempt of a set has a new timestamp", fault: "node-deaf-often", invariant: "I3",
			edits: []fleet.Edit{{File: "store/cassandra/table.go", Old: "return struct{}{}, t.query(ctx, cql, args...).Exec()",
				New: "args := append([]any(nil), args...)\n\t\tif cql == t.cql.write {\n\t\t\targs[0] = max(args[0].(int64), time.Now().UnixMicro())\n\t\t}\n" +
					"\t\treturn struct{}{}, t.query(ctx, cql, args...).Exec()"}}},
		{name: "no-marker", description: "a delete writes no fence marker", fault: "none", invariant: "I1", wrapsRows: true},
		{name: "tombstone-now", description: "the tombstone of a delete has the current time as its timestamp", fault: "clock-10s", invariant: "I1", wrapsRows: true},
		{name: "ttl-ignored", description: "a set lives for a day, whatever its TTL is", fault: "none", invariant: "I4", wrapsRows: true},
		{name: "cache", description: "a value that was read is cached for one second", fault: "none", invariant: "I3", wrapsRows: true},
		{name: "204-after-failure", description: "a delete that failed in the other datacentre is answered 204", fault: "partition-drop", invariant: "I1", wrapsRows: true},
		{name: "events-unfiltered", description: "the driver's token-aware policy gets the events of every keyspace", fault: "foreign-keyspace", invariant: "I9",
			edits: []fleet.Edit{
				{File: "store/cassandra/config.go", Old: "d.Events.DisableSchemaEvents = true", New: "d.Events.DisableSchemaEvents = false"},
				{File: "store/cassandra/coordinator/coordinator.go", Old: "newNodes(routing, now, m)", New: "newNodes(gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy()), now, m)"},
			}},
		{name: "hurry-forgets", description: "a hurried delete is answered before it is recorded as pending", fault: "hints-off", invariant: "I2",
			edits: []fleet.Edit{
				{File: "store/everywhere.go", Old: "recordErr = w.Record(ctx)",
					New: "if everywhere.result() == errUnconfirmed {\n\t\t\t<-ctx.Done() // as if recording were slow\n\t\t}\n\t\trecordErr = w.Record(ctx)"},
				{File: "store/everywhere.go", Old: "\trecording.Wait()\n", New: "\tif everywhere.result() != errUnconfirmed {\n\t\trecording.Wait()\n\t}\n"},
			}},
		{name: "scan-stops", description: "a bucket of pending deletes that cannot be read keeps the others waiting", fault: "bucket-unreadable-at-end", invariant: "I2",
			edits: []fleet.Edit{{File: "store/replayer.go", Old: "\tpages := r.readBuckets(ctx)\n",
				New: "\tpages := r.readBuckets(ctx)\n\tfor _, b := range r.buckets {\n\t\tif b.err != nil {\n\t\t\treturn false\n\t\t}\n\t}\n"}}},
		{name: "pending-dropped", description: "pending deletes are not recorded", fault: "hints-off", invariant: "I2", wrapsRows: true},
		{name: "change-local-quorum", description: "a change of a password reads and writes the local datacentre only", fault: "partition-drop", invariant: "P1",
			edits: []fleet.Edit{
				{File: "passwords/users.go", Old: "Each:  write(store.EachQuorum)", New: "Each:  write(store.LocalQuorum)"},
				{File: "passwords/users.go", Old: "switch row, err = u.readEverywhere(ctx, user); {", New: "switch row, err = u.read(ctx, user); {"},
			}},
		{name: "pending-change-dropped", description: "pending changes of passwords are not recorded", fault: "hints-off", invariant: "P2",
			edits: []fleet.Edit{{File: "passwords/users.go", Old: "return u.rows.RecordPending(ctx, key, r.since)", New: "return nil"}}},
		{name: "create-overwrites", description: "a creation does not look again whether the user exists", fault: "none", invariant: "P3",
			edits: []fleet.Edit{{File: "passwords/change.go", Old: "return record{state: hasHash, hash: hash.Text()}, refuse(row)", New: "return record{state: hasHash, hash: hash.Text()}, nil"}}},
		{name: "no-known-networks", description: "the guesses of strangers count against a user in a known network", fault: "none", invariant: "P4",
			edits: []fleet.Edit{{File: "passwords/guesses.go", Old: "return g.known > 0 && ", New: "return g.known < 0 && "}}},
		{name: "token-stays", description: "a reset token is not used up", fault: "none", invariant: "P5",
			edits: []fleet.Edit{{File: "passwords/verify.go", Old: "return same && row.token.issued > row.current.since && ", New: "return same && "}}},
	}
}

func mutantNamed(name string) (mutant, bool) {
	all := mutants()
	i := slices.IndexFunc(all, func(m mutant) bool { return m.name == name })
	if i < 0 {
		return mutant{}, false
	}
	return all[i], true
}

// result returns the entry of the mutant in a report.
func (m mutant) result(s report.Summary) report.MutantResult {
	return report.MutantResult{Summary: s, Bug: m.description, Invariant: m.invariant}
}

// mutantFaults returns the faults that only mutants use.
func mutantFaults() []fault {
	deafen := func(ctx context.Context, r *run) error {
		node := victim(r)[0]
		return r.cluster.Cut(ctx, testcluster.Link{From: r.cluster.Others(node), To: []*testcluster.Node{node}, OneWay: true})
	}
	unreadable := unreadableBucket()
	unreadable.name, unreadable.restore = "bucket-unreadable-at-end", enableHints // the bucket stays unreadable
	return []fault{
		unreadable,
		{name: "none", description: "no fault", expect: history.Strain},
		{name: "node-deaf-often", description: "one node receives nothing from the other nodes for 3 s, again and again", expect: history.OneNode, length: time.Minute,
			repeat: sequence(deafen, wait(3*time.Second), heal, wait(5*time.Second)), end: heal},
	}
}

// The files that are added to the service, and where they are used.
var (
	//go:embed clock.go.txt
	clockSource []byte
	clockEdit   = fleet.Edit{File: "cmd/userinfo/service.go", Old: "now, registry := time.Now, ", New: "now, registry := drillClock(), "}

	//go:embed mutant_rows.go.txt
	mutantRowsSource string
	mutantRowsEdit   = fleet.Edit{File: "cmd/userinfo/service.go", Old: "store.NewCollection(rows, ", New: "store.NewCollection(store.NewDrillRows(rows), "}
)

// writeOverlay writes the overlay for building the service: the source with a clock that the drill can set, and with a
// planted bug if m is not nil.
func writeOverlay(ctx context.Context, dir string, m *mutant) (string, error) {
	edits := []fleet.Edit{clockEdit}
	added := map[string][]byte{"cmd/userinfo/drill_clock.go": clockSource}
	if m != nil {
		edits = append(edits, m.edits...)
	}
	if m != nil && m.wrapsRows {
		edits = append(edits, mutantRowsEdit)
		added["store/drill_rows.go"] = []byte(strings.Replace(mutantRowsSource, "MUTANT", m.name, 1))
	}
	return fleet.WriteOverlay(ctx, dir, edits, added)
}
