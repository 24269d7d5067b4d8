package cassandra

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/panics"
	"userinfo/store"
)

func TestLocalReplicas_NamesWhatIsWrong(t *testing.T) {
	const class = "org.apache.cassandra.locator.NetworkTopologyStrategy"
	for name, c := range map[string]struct {
		options map[string]string
		want    int
		problem string
	}{
		"three":                   {map[string]string{"class": class, "dc1": "3", "dc2": "3"}, 3, ""},
		"one of three transient":  {map[string]string{"class": class, "dc1": "3/1"}, 3, ""},
		"no options":              {nil, 0, "keyspace ks does not exist"},
		"another datacentre only": {map[string]string{"class": class, "dc2": "3"}, 0, "keyspace ks has no replicas in datacentre dc1 (replication: dc2: 3)"},
		"zero":                    {map[string]string{"class": class, "dc1": "0", "dc2": "3"}, 0, "no replicas in datacentre dc1"},
		"no number":               {map[string]string{"class": class, "dc1": "many"}, 0, "no replicas in datacentre dc1"},
		"negative":                {map[string]string{"class": class, "dc1": "-3"}, 0, "no replicas in datacentre dc1"},
		"SimpleStrategy":          {map[string]string{"class": "SimpleStrategy", "replication_factor": "3"}, 0, `replication class "SimpleStrategy"`},
		"LocalStrategy":           {map[string]string{"class": "LocalStrategy"}, 0, "LocalStrategy"},
		"no class":                {map[string]string{"dc1": "3"}, 0, `replication class ""`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := localReplicas("ks", "dc1", c.options)
			if got != c.want || (err == nil) != (c.problem == "") {
				t.Fatalf("got %d replicas and error %v, want %d and %q", got, err, c.want, c.problem)
			}
			if err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Errorf("got error %q, want %q in it", err, c.problem)
			}
		})
	}
}

func FuzzLocalReplicas(f *testing.F) {
	f.Add("NetworkTopologyStrategy", "3")
	f.Add("org.apache.cassandra.locator.NetworkTopologyStrategy", "3/1")
	f.Add("", "/")
	f.Fuzz(func(t *testing.T, class, factor string) {
		n, err := localReplicas("ks", "dc1", map[string]string{"class": class, "dc1": factor})
		if (n > 0) != (err == nil) {
			t.Errorf("%d replicas and error %v", n, err)
		}
	})
}

func TestKeyspaceWatch_NoticesLostReplicas(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	var log logBuffer
	session, registry := s.open(s.config(), slog.New(slog.NewTextHandler(&log, nil)))
	table := session.Table(store.CollectionConfig{Name: "sessions", Table: "sessions", MaxTTL: time.Hour})
	ready := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		return table.Ready(ctx)
	}
	if err := ready(); err != nil {
		t.Fatal(err)
	}
	for name, replication := range map[string]map[string]string{
		"keyspace ks has no replicas in datacentre dc1": {"class": "NetworkTopologyStrategy", "dc2": "3"},
		"keyspace ks does not exist":                    nil,
	} {
		good := s.state().replication
		s.set(func(s *stubState) { s.replication, s.unavailable = replication, true })
		eventually(t, "Ready returns an error that names "+name, func() bool {
			err := ready()
			return err != nil && strings.Contains(err.Error(), name)
		})
		if err := ready(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got error %v, want store.ErrUnavailable", err)
		}
		if got := gatherGauge(t, registry, "userinfo_cassandra_local_replicas"); got != 0 {
			t.Errorf("the metric is %v", got)
		}
		s.set(func(s *stubState) { s.replication, s.unavailable = good, false })
		eventually(t, "the keyspace is noticed as repaired", func() bool {
			return ready() == nil && gatherGauge(t, registry, "userinfo_cassandra_local_replicas") == 1
		})
		eventually(t, "the log says so", func() bool { return strings.Contains(log.String(), "again") })
		if got := strings.Count(log.String(), name); got != 1 {
			t.Errorf("the log names %q %d times, want once:\n%s", name, got, log.String())
		}
	}
}

// A node that has lost contact with the other nodes still answers what it knows alone.
func TestKeyspaceWatch_KeepsBreakersOpen(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	session, registry := s.open(s.config(), slog.New(slog.DiscardHandler))
	table := session.Table(store.CollectionConfig{Name: "sessions", Table: "sessions", MaxTTL: time.Hour})
	s.set(func(s *stubState) {
		s.replication, s.unavailable = map[string]string{"class": "NetworkTopologyStrategy", "dc1": "2"}, true
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := table.Ready(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got error %v, want store.ErrUnavailable", err)
	}
	eventually(t, "the watch has read the replication", func() bool {
		return gatherGauge(t, registry, "userinfo_cassandra_local_replicas") == 2
	})
	if _, err := session.Query(t.Context(), "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", "ks"); err != nil {
		t.Fatal(err)
	}
	if got := gatherGauge(t, registry, "userinfo_cassandra_breakers_open"); got != 1 {
		t.Errorf("%v breakers are open, want 1", got)
	}
}

func TestKeyspaceWatch_SendsStatementsToReplicas(t *testing.T) {
	s := newStub(t)
	s.listen("127.0.0.2")
	s.set(func(s *stubState) {
		s.nodes = []stubNode{
			{id: 1, address: "127.0.0.1", tokens: []string{"-9223372036854775807"}},
			{id: 2, address: "127.0.0.2", tokens: []string{"9223372036854775806"}}, // nearly all of the ring
		}
	})
	table := s.openTable()
	for range 20 {
		if err := table.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.executed["127.0.0.1"] != 0 || s.executed["127.0.0.2"] != 20 {
		t.Errorf("the nodes were asked %v, want the replica alone", s.executed)
	}
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// gatherGauge returns the value of a gauge or counter without labels.
func gatherGauge(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func TestKeyspaceWatch_ProblemCountsAfterTwoEqualReads(t *testing.T) {
	var w keyspaceWatch
	lost, dropped := errors.New("no replicas"), errors.New("no keyspace")
	for i, read := range []struct {
		problem error
		want    bool
	}{{nil, true}, {lost, false}, {nil, true}, {lost, false}, {dropped, false}, {dropped, true}, {nil, true}, {dropped, false}} {
		if got := w.confirmed(read.problem); got != read.want {
			t.Errorf("read %d with the problem %v: confirmed is %v, want %v", i, read.problem, got, read.want)
		}
	}
}

func TestKeyspaceWatch_GoesOnAfterPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		var w keyspaceWatch
		w.panics = panics.NewRecorder(prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		stop := w.start(func(context.Context) {
			if reads++; reads == 1 {
				panic("once")
			}
		})
		time.Sleep(replicationInterval + panics.Pause + 3*replicationInterval)
		stop()
		synctest.Wait()
		if reads < 3 {
			t.Errorf("%d reads; want more after the panic", reads)
		}
	})
}
