package schema

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"userinfo/store"
)

// Check compares the live schema with s and returns every difference. If it returns no difference and no error, the
// service may start. Check changes nothing. An error means that the schema could not be read.
//
// A default_time_to_live of a table is not a difference: it applies to writes without a TTL, and the service always sets
// a TTL. Additional columns are not a difference.
func Check(ctx context.Context, db DB, s Spec) ([]Difference, error) {
	scripts, err := newScripts(s)
	if err != nil {
		return nil, fmt.Errorf("checking the schema: %w", err)
	}
	found, err := inspect(ctx, db, s, scripts)
	if err != nil {
		return nil, fmt.Errorf("checking the schema: %w", err)
	}
	var out []Difference
	for _, f := range found {
		out = append(out, f.Difference)
	}
	return out, nil
}

// inspect compares the live schema with s, for both Check and Apply. It returns findings in the order in which their
// statements must run.
func inspect(ctx context.Context, db DB, s Spec, scripts scripts) ([]finding, error) {
	ks, err := readKeyspace(ctx, db, s.Keyspace)
	if err != nil {
		return nil, err
	}
	found := inspectKeyspace(s, ks, scripts.keyspace)
	for i, t := range s.Tables {
		live, err := readTable(ctx, db, s.Keyspace, t.Name)
		if err != nil {
			return nil, err
		}
		found = append(found, inspectTable(s.Keyspace, t, live, scripts.tables[i])...)
	}
	for i, t := range s.serviceTables() {
		differs, err := t.inspect(ctx, db, s.Keyspace, scripts.serviceTables[i])
		if err != nil {
			return nil, err
		}
		found = append(found, differs...)
	}
	settings, err := inspectSettings(ctx, db, s)
	if err != nil {
		return nil, err
	}
	return append(found, settings...), nil
}

const networkTopology = "NetworkTopologyStrategy"

func inspectKeyspace(s Spec, live *keyspace, create string) []finding {
	object := "keyspace " + s.Keyspace
	if live == nil {
		if create == "" {
			return []finding{forOperator(object, "a keyspace", "none",
				"create it by hand, or give the replication in the configuration and run `userinfo schema apply`")}
		}
		return []finding{fixable(object, "a keyspace", "none", create)}
	}
	if live.class != networkTopology {
		return []finding{forOperator(object+" replication", networkTopology, live.class, alterReplication(s, nil))}
	}
	found := inspectDatacentres(s, live)
	if !live.durable {
		found = append(found, forOperator(object+" durable_writes", "true", "false",
			fmt.Sprintf("run ALTER KEYSPACE %q WITH durable_writes = true", s.Keyspace)))
	}
	return found
}

// inspectDatacentres compares the keyspace's replication with s.Replication, which contains the local datacentre
// (Validate). If s.Replication is empty, only the local datacentre must have replicas.
func inspectDatacentres(s Spec, live *keyspace) (found []finding) {
	object := "keyspace " + s.Keyspace + " datacentre "
	const none = "no replicas"
	have := func(name string) string {
		if n := live.replication[name]; n != "" && n != "0" {
			return "replication factor " + n
		}
		return none
	}
	for _, name := range slices.Sorted(maps.Keys(s.Replication)) {
		if want := fmt.Sprintf("replication factor %d", s.Replication[name]); have(name) != want {
			found = append(found, forOperator(object+name, want, have(name),
				"correct the replication in the configuration, or "+alterReplication(s, live.replication)))
		}
	}
	if local := s.LocalDatacentre; len(s.Replication) == 0 && have(local) == none {
		others := slices.Sorted(maps.Keys(live.replication))
		found = append(found, forOperator(object+local, "replicas in the local datacentre",
			"replicas in "+strings.Join(others, ", ")+" only",
			"correct the local datacentre in the configuration, or "+alterReplication(s, live.replication)))
	}
	return found
}

// alterReplication returns the advice to change a keyspace's replication to s.Replication, keeping other datacentres of live.
// An operator must do this, because new replicas have no data until they are repaired.
func alterReplication(s Spec, live map[string]string) string {
	want := map[string]string{s.LocalDatacentre: "<replicas>"}
	maps.Copy(want, live)
	for name, n := range s.Replication {
		want[name] = strconv.Itoa(n)
	}
	var options strings.Builder
	for _, name := range slices.Sorted(maps.Keys(want)) {
		fmt.Fprintf(&options, ", '%s': %s", name, want[name])
	}
	return fmt.Sprintf("run ALTER KEYSPACE %q WITH replication = {'class': '%s'%s} and then `nodetool repair --full %s` "+
		"on every node (until then, reads may miss rows)", s.Keyspace, networkTopology, options.String(), s.Keyspace)
}

func inspectTable(keyspace string, t Table, live *table, script tableScripts) []finding {
	name := keyspace + "." + t.Name
	if live == nil && t.MustExist {
		return []finding{forOperator("table "+name, "a table of Kask", "none",
			"name Kask's table in read_through, or remove read_through if the move from Kask is complete and the table was dropped")}
	}
	if live == nil {
		return []finding{fixable("table "+name, "a table", "none", script.create)}
	}
	found := inspectColumns(name, t, live, script)
	if live.gcGrace < t.largestTTL() {
		found = append(found, fixable("table "+name+" gc_grace_seconds",
			fmt.Sprintf("at least %d, the largest TTL", t.largestTTL()), strconv.Itoa(live.gcGrace), script.raiseGrace))
	}
	if live.readRepair != "BLOCKING" {
		found = append(found, forOperator("table "+name+" read_repair", "BLOCKING", live.readRepair,
			fmt.Sprintf("run ALTER TABLE %q.%q WITH read_repair = 'BLOCKING'", keyspace, t.Name)))
	}
	return append(found, inspectSpeculation(keyspace, t.Name, live)...)
}

// inspectSpeculation warns of a table whose speculative_retry has no bound in milliseconds. Such a table works, but one lost
// replica can make every read slow for minutes (see cql/002_table.cql).
func inspectSpeculation(keyspace, name string, live *table) []finding {
	const bounded = "MIN(95p,50ms)"
	have := strings.ToUpper(live.speculativeRetry)
	if have == "ALWAYS" || strings.Contains(have, "MS") && !strings.HasPrefix(have, "MAX") {
		return nil
	}
	return []finding{warning("table "+keyspace+"."+name+" speculative_retry", "a bound in milliseconds, as "+bounded+" has", live.speculativeRetry,
		fmt.Sprintf("run ALTER TABLE %q.%q WITH speculative_retry = '%s' AND additional_write_policy = '%s'", keyspace, name, bounded, bounded))}
}

func inspectColumns(name string, t Table, live *table, script tableScripts) (found []finding) {
	refuse := func(object, want, have string) {
		found = append(found, forOperator(object, want, have,
			"configure another table or another layout, because this cannot be changed without losing rows"))
	}
	if live.primaryKey != "(key)" {
		refuse("table "+name+" primary key", "(key)", live.primaryKey)
	}
	keyType := "blob"
	if t.Layout == store.LayoutKask {
		keyType = "text"
	}
	// The primary key check reports a missing key column.
	if have, ok := live.types["key"]; ok && have != keyType {
		refuse("column "+name+".key", keyType, have)
	}
	if have, ok := live.types["value"]; !ok {
		refuse("column "+name+".value", "blob", "none")
	} else if have != "blob" {
		refuse("column "+name+".value", "blob", have)
	}
	if have, ok := live.types["gone"]; t.hasMarker() && !ok {
		found = append(found, fixable("column "+name+".gone", "boolean", "none", script.addMarker))
	} else if t.hasMarker() && have != "boolean" {
		refuse("column "+name+".gone", "boolean", have)
	}
	return found
}
