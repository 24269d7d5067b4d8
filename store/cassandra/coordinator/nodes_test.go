package coordinator

import (
	"net"
	"slices"
	"testing"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestNodes_CountsNodesThatAreUp(t *testing.T) {
	c := newFakeCluster(nil)
	for i, h := range c.hosts.hosts {
		h.SetConnectAddress(net.IPv4(10, 0, 0, byte(9-i)))
	}
	want := func(when string, addresses ...string) {
		t.Helper()
		if got := c.Addresses(); !slices.Equal(got, addresses) {
			t.Errorf("%s: up are %v, want %v", when, got, addresses)
		}
		if got := testutil.ToFloat64(c.metrics.hostsUp); int(got) != len(addresses) {
			t.Errorf("%s: the metric is %v, want %d", when, got, len(addresses))
		}
		if got := c.nodes.count(); got != max(len(addresses), 1) {
			t.Errorf("%s: a round has %d nodes", when, got)
		}
	}
	a, b, last := c.hosts.hosts[0], c.hosts.hosts[1], c.hosts.hosts[2]
	want("at first", "10.0.0.7", "10.0.0.8", "10.0.0.9")
	c.nodes.HostDown(a)
	want("a is down", "10.0.0.7", "10.0.0.8")
	c.nodes.RemoveHost(b)
	c.nodes.HostDown(last)
	want("all are gone")
	c.nodes.HostUp(a)
	want("a is up again", "10.0.0.9")
}

func TestNodes_OnlyThisFails(t *testing.T) {
	c := newFakeCluster(nil)
	open := func(id string) {
		for range maxFailures {
			c.nodes.node(id).breaker.recordFailure(c.nodes.now())
		}
	}
	a := c.nodes.node("a")
	if c.nodes.onlyThisFails(nil) || c.nodes.onlyThisFails(a) {
		t.Error("true although no breaker is open")
	}
	open("a")
	if !c.nodes.onlyThisFails(a) {
		t.Error("false although only the breaker of a is open")
	}
	open("b")
	open("c")
	if c.nodes.onlyThisFails(a) {
		t.Error("true although all breakers are open")
	}
}

func TestNodes_IgnoresOtherKeyspaces(t *testing.T) {
	c := newFakeCluster(nil)
	policy := &keyspaceRecorder{HostSelectionPolicy: c.hosts}
	c.nodes.HostSelectionPolicy = policy
	for _, name := range []string{"ks", "other", ""} {
		c.nodes.KeyspaceChanged(gocql.KeyspaceUpdateEvent{Keyspace: name})
	}
	if !slices.Equal(policy.changed, []string{"ks"}) {
		t.Errorf("the driver's policy was told of %q, want the session's keyspace alone", policy.changed)
	}
}

// keyspaceRecorder notes the keyspaces whose changes it is told.
type keyspaceRecorder struct {
	gocql.HostSelectionPolicy
	changed []string
}

func (k *keyspaceRecorder) KeyspaceChanged(e gocql.KeyspaceUpdateEvent) {
	k.changed = append(k.changed, e.Keyspace)
}
