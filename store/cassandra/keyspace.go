package cassandra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"userinfo/internal/panics"
	"userinfo/store/cassandra/coordinator"
)

const (
	replicationInterval = time.Second     // between two reads of the replication
	replicationTimeout  = 2 * time.Second // of one read
)

// replicationCQL reads how a keyspace is replicated. Every node answers from its own memory.
const replicationCQL = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?"

// keyspaceWatch reads once a second how the session's keyspace is replicated, because anybody who may alter the keyspace can
// remove its replicas in the local datacentre. It passes the result to the Runner, so that statements go to the replicas and
// errors say what is wrong. It logs each change.
//
// While the replication is wrong, the Runner sends no statement at EACH_QUORUM, and tries others on each node only once.
type keyspaceWatch struct {
	twoConnections
	keyspace   string
	datacentre string
	metrics    *Metrics
	log        *slog.Logger
	lastRead   string // the problem at the last read; empty if there was none
	logged     string // the problem that was logged last; empty after it was solved
}

func newKeyspaceWatch(two twoConnections, c Config, m *Metrics, log *slog.Logger) *keyspaceWatch {
	return &keyspaceWatch{twoConnections: two, keyspace: c.Keyspace, datacentre: c.LocalDatacentre, metrics: m, log: log}
}

// start calls read, which is w.read except in tests, once a second until stop is called. stop returns at once.
func (w *keyspaceWatch) start(read func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer w.panics.Recover(panics.Keyspace, nil)
		w.panics.Loop(ctx, panics.Keyspace, func(ctx context.Context) { everySecond(ctx, read) })
	}()
	return cancel
}

// everySecond calls read every replicationInterval until ctx ends.
func everySecond(ctx context.Context, read func(context.Context)) {
	tick := time.NewTicker(replicationInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			read(ctx)
		}
	}
}

// read reads the replication once. If that fails, the replication that was read before stays in use.
func (w *keyspaceWatch) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, replicationTimeout)
	defer cancel()
	options, err := coordinator.Run(ctx, w.runner, coordinator.CallPolicy{Kind: coordinator.OneNode}, func(ctx context.Context) (map[string]string, error) {
		var options map[string]string
		err := w.driver.Query(replicationCQL, w.keyspace).WithContext(ctx).Consistency(gocql.One).Scan(&options)
		if errors.Is(err, gocql.ErrNotFound) {
			return nil, nil
		}
		return options, err
	})
	if err != nil {
		w.log.Debug("the replication of the keyspace cannot be read; trying again", "error", err.Error())
		return
	}
	replicas, problem := localReplicas(w.keyspace, w.datacentre, options)
	if !w.confirmed(problem) {
		return
	}
	w.setKeyspace(replicas, problem)
	w.metrics.localReplicas.Set(float64(replicas))
	w.logChange(problem)
}

// confirmed reports whether the last read had the same result, or there is no problem. A node that has just started may answer
// from an old schema once.
func (w *keyspaceWatch) confirmed(problem error) bool {
	text := ""
	if problem != nil {
		text = problem.Error()
	}
	same := text == w.lastRead
	w.lastRead = text
	return same || problem == nil
}

func (w *keyspaceWatch) logChange(problem error) {
	text := ""
	if problem != nil {
		text = problem.Error()
	}
	switch {
	case text == w.logged:
	case problem != nil:
		w.log.Error("requests fail because of the replication of the keyspace", "cause", text)
	default:
		w.log.Info("the keyspace has replicas in the local datacentre again", "keyspace", w.keyspace, "datacentre", w.datacentre)
	}
	w.logged = text
}

// localReplicas returns how many replicas a keyspace with these replication options has in a datacentre, or an error that
// says what is wrong. No options mean that the keyspace does not exist.
func localReplicas(keyspace, datacentre string, options map[string]string) (int, error) {
	if len(options) == 0 {
		return 0, fmt.Errorf("keyspace %s does not exist; restore it, or run `userinfo schema apply`", keyspace)
	}
	if class := options["class"]; !strings.HasSuffix(class, "NetworkTopologyStrategy") {
		return 0, fmt.Errorf("keyspace %s has replication class %q, which does not place replicas in datacentre %s; use NetworkTopologyStrategy", keyspace, class, datacentre)
	}
	// "3/1" means three replicas, one of them transient.
	number, _, _ := strings.Cut(options[datacentre], "/")
	if n, err := strconv.Atoi(number); err == nil && n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("keyspace %s has no replicas in datacentre %s (replication: %s); add them with ALTER KEYSPACE, then run `nodetool rebuild`", keyspace, datacentre, describeReplication(options))
}

// describeReplication returns the options as text, in a fixed order.
func describeReplication(options map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if name != "class" {
			parts = append(parts, name+": "+options[name])
		}
	}
	return strings.Join(parts, ", ")
}
