package coordinator

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
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

// TestNodes_IgnoresRemovedHostInfo changes the address of a node. The driver then makes a new HostInfo with the same host
// ID. Its other goroutines may still use the old one.
func TestNodes_IgnoresRemovedHostInfo(t *testing.T) {
	c := newFakeCluster(nil)
	was := c.hosts.hosts[0].SetConnectAddress(net.IPv4(10, 0, 0, 1))
	c.nodes.RemoveHost(c.hosts.hosts[1])
	c.nodes.RemoveHost(c.hosts.hosts[2])
	is := new(gocql.HostInfo).SetConnectAddress(net.IPv4(10, 0, 0, 9))
	is.SetHostID("a")
	c.nodes.RemoveHost(was)
	c.nodes.AddHost(was)
	if got := c.Addresses(); got != nil {
		t.Errorf("the old address is back: %v", got)
	}
	c.nodes.AddHost(is)
	for name, late := range map[string]func(*gocql.HostInfo){
		"AddHost": c.nodes.AddHost, "HostUp": c.nodes.HostUp, "HostDown": c.nodes.HostDown, "RemoveHost": c.nodes.RemoveHost,
	} {
		late(was)
		if got := c.Addresses(); !slices.Equal(got, []string{"10.0.0.9"}) {
			t.Errorf("after a late %s, up are %v, want 10.0.0.9", name, got)
		}
	}
	c.nodes.RemoveHost(is)
	again := new(gocql.HostInfo).SetConnectAddress(net.IPv4(10, 0, 0, 9))
	again.SetHostID("a")
	is = again
	c.nodes.AddHost(is)
	if c.nodes.AddHost(was); !slices.Equal(c.Addresses(), []string{"10.0.0.9"}) {
		t.Errorf("after two moves, up are %v, want 10.0.0.9", c.Addresses())
	}
	if c.nodes.AddFailure(nil, was) {
		t.Error("a removed node is convicted, which lets the driver look it up by its address")
	}
	if !c.nodes.AddFailure(nil, is) {
		t.Error("a node is not convicted")
	}
}

// TestNodes_CountsOpenBreakersOfNodesThatAreUp reads the gauge from a registry. A node that was removed with an open breaker must not
// count: it would count for ever.
func TestNodes_CountsOpenBreakersOfNodesThatAreUp(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	want := func(when string, open int) {
		t.Helper()
		text := "# HELP userinfo_cassandra_breakers_open Cassandra nodes of userinfo_cassandra_hosts_up whose circuit breaker is open: their last attempts failed or were slow, so they are asked last.\n" +
			"# TYPE userinfo_cassandra_breakers_open gauge\nuserinfo_cassandra_breakers_open " + strconv.Itoa(open) + "\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(text), "userinfo_cassandra_breakers_open"); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	want("without a Runner", 0)
	r := NewRunner(time.Now, metrics, nil)
	second := NewRunner(time.Now, metrics.WithoutNodes(), nil)
	r.nodes.HostSelectionPolicy, second.nodes.HostSelectionPolicy = &fakeHosts{}, &fakeHosts{}
	host := &gocql.HostInfo{}
	host.SetHostID("a")
	for _, runner := range []*Runner{r, second} {
		runner.nodes.AddHost(host)
	}
	want("at first", 0)
	for range maxFailures {
		second.nodes.node("a").breaker.recordFailure(time.Now())
	}
	want("open in the second Runner, which has no gauge", 0)
	for range maxFailures {
		r.nodes.node("a").breaker.recordFailure(time.Now())
	}
	want("open", 1)
	r.nodes.HostDown(host)
	want("open, and the node is down", 0)
	r.nodes.HostUp(host)
	want("up again", 1)
	r.nodes.node("a").breaker.recordSuccess()
	want("closed", 0)
}
