package cassandra

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"

	"userinfo/store"
	"userinfo/store/cassandra/coordinator"
)

// offlineTable returns a table without a cluster. Its methods can run only with a context that has ended.
func offlineTable(layout store.Layout, fence time.Duration) *Table {
	r := coordinator.NewRunner(time.Now, coordinator.NewMetrics(prometheus.NewRegistry()), nil)
	return newTable(twoConnections{connections: connections{runner: r}}, "ks", store.CollectionConfig{Name: "sessions", Table: "sessions", Layout: layout, Fence: fence})
}

func TestTable_ErrorsAreUnavailable(t *testing.T) {
	table := offlineTable(store.LayoutUserInfo, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, read := table.Read(ctx, "key")
	_, deleted := table.Deleted(ctx, "key")
	_, list := table.ListPending(ctx, 0, 1)
	old := oldPendingDeletes{table}
	_, listOld := old.ListPending(ctx, 0, 1)
	for name, err := range map[string]error{
		"Read": read, "Deleted": deleted, "ListPending": list, "ListPending of earlier versions": listOld,
		"Write":         table.Write(ctx, "key", nil, 1, time.Second),
		"Delete":        table.Delete(ctx, "key", store.Deletion{}, store.EachQuorum),
		"RecordPending": table.RecordPending(ctx, "key", store.Deletion{}),
		"RemovePending": table.RemovePending(ctx, store.PendingDelete{}),

		"RemovePending of earlier versions": old.RemovePending(ctx, store.PendingDelete{}),
		"Ready":                             table.Ready(ctx),
	} {
		if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s returned %v, want store.ErrUnavailable and the context's error", name, err)
		}
	}
}

func TestTable_LayoutDecidesColumns(t *testing.T) {
	for _, c := range []struct {
		layout           store.Layout
		fence            time.Duration
		text, markerRead bool
	}{
		{"", 0, false, true},
		{store.LayoutUserInfo, time.Minute, false, true},
		{store.LayoutKask, 0, true, false},
		{store.LayoutKask, time.Minute, true, true},
	} {
		table := offlineTable(c.layout, c.fence)
		if _, text := table.keyColumn("key").(string); text != c.text || table.hasMarker != c.markerRead {
			t.Errorf("layout %q, fence %v: text key %v, marker %v, want %v and %v", c.layout, c.fence, text, table.hasMarker, c.text, c.markerRead)
		}
	}
}

// refusal is an error of Cassandra's.
type refusal struct {
	code    int
	message string
}

func (r refusal) Code() int       { return r.code }
func (r refusal) Message() string { return r.message }
func (r refusal) Error() string   { return r.message }

func TestIsOversized_Messages(t *testing.T) {
	for message, want := range map[string]bool{
		"Rejected an oversized mutation (8388672/8388608) for keyspace: contract. Top keys are: kask.k":                                    true,
		"Request is too big: length 16777277 exceeds maximum allowed length 16777216.":                                                     true,
		"Guardrail column_value_size violated: Value of column 'value' has size 2.000MiB, this exceeds the failure threshold of 1.000MiB.": true,
		"Undefined column name gone in table contract.sessions":                                                                            false,
		"The timestamp for table contract.sessions is too far in the future: Guardrail maximum_timestamp violated":                         false,
	} {
		if got := isOversized(fmt.Errorf("attempt 2: %w", refusal{gocql.ErrCodeInvalid, message})); got != want {
			t.Errorf("%q: %v, want %v", message, got, want)
		}
		if isOversized(refusal{gocql.ErrCodeServer, message}) {
			t.Errorf("%q counts with the code of another error", message)
		}
	}
	if isOversized(nil) || isOversized(errors.New("oversized mutation")) {
		t.Error("an error that is not Cassandra's counts")
	}
}

func TestTable_KeyThatKaskCannotHaveIsAbsent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a statement would fail
	const key = "\xff"
	table := offlineTable(store.LayoutKask, time.Minute)
	row, read := table.Read(ctx, key)
	deleted, readMarker := table.Deleted(ctx, key)
	if !row.Absent() || deleted {
		t.Errorf("the row is absent: %v, deleted: %v; want an absent row", row.Absent(), deleted)
	}
	for name, err := range map[string]error{
		"Read": read, "Deleted": readMarker,
		"Delete":        table.Delete(ctx, key, store.Deletion{}, store.EachQuorum),
		"RecordPending": table.RecordPending(ctx, key, store.Deletion{}),
	} {
		if err != nil {
			t.Errorf("%s returned %v", name, err)
		}
	}
	if err := table.Write(ctx, key, nil, 1, time.Second); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Write returned %v; it must not say that it has written", err)
	}
}
