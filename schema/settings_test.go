package schema_test

import (
	"context"
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

// threeNodes returns a schema that is as wanted, on three nodes of dc1 and one of dc2.
func threeNodes(t *testing.T) *fakeCassandra {
	f := asWanted(t)
	f.nodes = []fakeNode{{address: "10.1.0.3", datacentre: "dc1"}, {address: "10.1.0.1", datacentre: "dc1"},
		{address: "10.1.0.2", datacentre: "dc1"}, {address: "10.2.0.1", datacentre: "dc2"}}
	f.differ, f.silent = map[string]map[string]any{}, map[string]error{}
	return f
}

func TestCheck_ReadsSettingsOfEveryNode(t *testing.T) {
	const size = "column_value_size_fail_threshold"
	const want = ": want at least 1064960 bytes, because a value may have 1048576 bytes (max_value_bytes), have "
	s := twoTables()
	s.Tables[0].MaxValueBytes = 1 << 20
	for name, c := range map[string]struct {
		small map[string]string // the setting, by node
		want  []string
	}{
		"one node":     {map[string]string{"10.1.0.2": "1B"}, []string{"setting " + size + " on 10.1.0.2" + want + "1B"}},
		"two nodes":    {map[string]string{"10.1.0.3": "1B", "10.1.0.1": "1B"}, []string{"setting " + size + " on 10.1.0.1, 10.1.0.3" + want + "1B"}},
		"all nodes":    {map[string]string{"10.1.0.1": "1B", "10.1.0.2": "1B", "10.1.0.3": "1B"}, []string{"setting " + size + want + "1B"}},
		"not the same": {map[string]string{"10.1.0.1": "2B", "10.1.0.2": "1B"}, []string{"setting " + size + " on 10.1.0.1" + want + "2B", "setting " + size + " on 10.1.0.2" + want + "1B"}},
		"elsewhere":    {map[string]string{"10.2.0.1": "1B"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := threeNodes(t)
			for address, value := range c.small {
				f.differ[address] = map[string]any{size: value}
			}
			warnings(t, f, s, c.want, "set column_value_size_fail_threshold: 2MiB in the cassandra.yaml of every node")
		})
	}
}

func TestCheck_NamesNodeWhoseGuardrailRefusesTouches(t *testing.T) {
	f := threeNodes(t)
	f.differ["10.1.0.3"] = map[string]any{"minimum_timestamp_fail_threshold": "10d"}
	found, err := schema.Check(t.Context(), f, twoTables())
	if blocking := schema.Blocking(found); err != nil || len(blocking) != 1 || blocking[0].Object != "setting minimum_timestamp_fail_threshold on 10.1.0.3" {
		t.Errorf("Check: %v, these keep the service from serving: %q", err, blocking)
	}
}

func TestCheck_FindsOneNodeThatAsksForPasswords(t *testing.T) {
	f := threeNodes(t)
	f.createKeyspace("system_auth", "SimpleStrategy", "'replication_factor': '1'")
	f.differ["10.1.0.2"] = map[string]any{"authenticator": "PasswordAuthenticator", "auth_read_consistency_level": "ALL"}
	warnings(t, f, twoTables(), []string{
		"keyspace system_auth replication: want NetworkTopologyStrategy with replication factor 3 in dc1, because nobody can log in while the nodes that have the roles are down, have SimpleStrategy",
		"setting auth_read_consistency_level on 10.1.0.2: want LOCAL_QUORUM, because nobody can log in while too few nodes of other datacentres are up, have ALL",
	}, "ALTER KEYSPACE system_auth")
}

func TestCheck_WarnsOfNodesWhoseSettingsCannotBeRead(t *testing.T) {
	const refused = ": want readable, have not read, because it refused"
	const guardrail = "setting minimum_timestamp_fail_threshold on 10.1.0.3: want none, because a touch keeps the timestamp of its value, have 10d"
	const roles = "keyspace system_auth replication: want NetworkTopologyStrategy with replication factor 3 in dc1, because nobody can log in while the nodes that have the roles are down, have no such keyspace"
	for name, c := range map[string]struct {
		silent map[string]error
		want   []string
	}{
		"one does not answer": {map[string]error{"10.1.0.1": errConnectionLost}, []string{"settings of node 10.1.0.1: want readable, have not read, because it did not answer",
			guardrail}},
		"one cannot read roles": {map[string]error{"10.1.0.2": refusal(0x2100)}, []string{"settings of node 10.1.0.2" + refused, guardrail, roles}},
		"two cannot read roles": {map[string]error{"10.1.0.1": refusal(0x2100), "10.1.0.2": refusal(0x2100)},
			[]string{"settings of node 10.1.0.1" + refused, "settings of node 10.1.0.2" + refused, guardrail, roles}},
	} {
		t.Run(name, func(t *testing.T) {
			f := threeNodes(t)
			f.silent, f.differ["10.1.0.3"] = c.silent, map[string]any{"minimum_timestamp_fail_threshold": "10d"}
			if got := check(t, f, twoTables()); !slices.Equal(got.texts, c.want) {
				t.Errorf("Check says\n  %s\nwant\n  %s", strings.Join(got.texts, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

func TestCheck_FailsIfNoSettingsCanBeRead(t *testing.T) {
	f := threeNodes(t)
	for _, address := range f.Nodes() {
		f.silent[address] = errConnectionLost
	}
	if _, err := schema.Check(t.Context(), f, twoTables()); !errors.Is(err, errConnectionLost) {
		t.Errorf("if no node answers, Check: %v, want %v", err, errConnectionLost)
	}
	for i := range f.nodes {
		f.nodes[i].down = true
	}
	if _, err := schema.Check(t.Context(), f, twoTables()); err == nil || !strings.Contains(err.Error(), "no node") {
		t.Errorf("if no node is up, Check: %v", err)
	}
}

func TestCheck_FailsIfItsContextEnds(t *testing.T) {
	f := threeNodes(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.before = func(n int) error {
		if n > settingsQuery {
			cancel()
		}
		return ctx.Err()
	}
	if found, err := schema.Check(ctx, f, twoTables()); !errors.Is(err, context.Canceled) {
		t.Errorf("Check: %q, %v, want %v", found, err, context.Canceled)
	}
}

func TestCheck_KeepsSettingsThatWereReadWhenItsContextEnded(t *testing.T) {
	f := threeNodes(t)
	f.differ["10.1.0.3"] = map[string]any{"minimum_timestamp_fail_threshold": "10d"}
	ctx, cancel := context.WithCancel(t.Context())
	f.before = func(n int) error {
		if n > settingsQuery {
			cancel() // and the statement succeeds
		}
		return nil
	}
	if found, err := schema.Check(ctx, f, twoTables()); err != nil || len(found) != 1 {
		t.Errorf("Check: %q, %v, want the guardrail of a node", found, err)
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
