package coordinator

import (
	"slices"
	"testing"

	"github.com/gocql/gocql"
)

// newTestRouting returns a routing with the nodes of these names.
func newTestRouting(hosts ...string) *routing {
	r := newRouting(func(int) int { return 0 })
	for _, id := range hosts {
		r.AddHost(testMember(id, "").host)
	}
	return r
}

// picked returns the host IDs that r offers for a partition key, in order.
func picked(r *routing, key []byte) (ids []string) {
	next := r.Pick(routedQuery{partitionKey: key})
	for h := next(); h != nil; h = next() {
		ids = append(ids, h.Info().HostID())
	}
	return ids
}

func TestRouting_OffersEveryNodeOnceInTurn(t *testing.T) {
	r := newTestRouting("a", "b", "c")
	first := make(map[string]int)
	for range 6 {
		ids := picked(r, nil)
		first[ids[0]]++
		if slices.Sort(ids); !slices.Equal(ids, []string{"a", "b", "c"}) {
			t.Errorf("offered %v", ids)
		}
	}
	if first["a"] != 2 || first["b"] != 2 || first["c"] != 2 {
		t.Errorf("first offered were %v, want each twice", first)
	}
}

func TestRouting_OffersReplicasFirst(t *testing.T) {
	r := newTestRouting("a", "b", "c", "d")
	key := []byte("key")
	hosts := r.current.Load().hosts
	members := []member{{hosts[1], "r1", []int64{tokenOf(key)}}, {hosts[3], "r2", []int64{tokenOf(key) + 1}}}
	r.current.Store(&routes{hosts: hosts, ring: newRing(members, 2)})
	for range 4 {
		ids := picked(r, key)
		if got := slices.Sorted(slices.Values(ids[:2])); !slices.Equal(got, []string{"b", "d"}) {
			t.Errorf("offered %v, want the replicas b and d first", ids)
		}
		if slices.Sort(ids); !slices.Equal(ids, []string{"a", "b", "c", "d"}) {
			t.Errorf("offered %v, want every node once", ids)
		}
	}
}

// TestRouting_NeverPanics makes the calls that the driver may make, without replicas, tokens, nodes or partitioner.
func TestRouting_NeverPanics(t *testing.T) {
	r := newTestRouting()
	a := testMember("a", "").host
	steps := map[string]func(){
		"partitioner":         func() { r.SetPartitioner("org.apache.cassandra.dht.Murmur3Partitioner") },
		"unknown partitioner": func() { r.SetPartitioner("ByteOrderedPartitioner") },
		"no partitioner":      func() { r.SetPartitioner("") },
		"replicas":            func() { r.SetReplicas(3) },
		"no replicas":         func() { r.SetReplicas(0) },
		"negative replicas":   func() { r.SetReplicas(-1) },
		"node":                func() { r.AddHost(a) },
		"node gone":           func() { r.RemoveHost(a) },
		"node up":             func() { r.HostUp(a) },
		"node down":           func() { r.HostDown(a) },
		"keyspace":            func() { r.KeyspaceChanged(gocql.KeyspaceUpdateEvent{Keyspace: "ks"}) },
		"keyspace dropped":    func() { r.KeyspaceChanged(gocql.KeyspaceUpdateEvent{Keyspace: "ks", Change: "DROPPED"}) },
	}
	for name, step := range steps { // in an order that differs from run to run
		for other, then := range steps {
			step()
			then()
			want := 0
			if len(r.hosts) > 0 {
				want = 1
			}
			for _, key := range [][]byte{nil, {}, []byte("key")} {
				if got := picked(r, key); len(got) != want {
					t.Errorf("after %s and %s: offered %v, want %d nodes", name, other, got, want)
				}
			}
			if r.Pick(nil) == nil {
				t.Error("no nodes are offered for no query")
			}
		}
	}
}

func TestParseTokens_LeavesOutWhatIsNoNumber(t *testing.T) {
	if got := parseTokens([]string{"-5", "", "x", "9223372036854775807", "9223372036854775808"}); !slices.Equal(got, []int64{-5, 9223372036854775807}) {
		t.Errorf("got %v", got)
	}
}
