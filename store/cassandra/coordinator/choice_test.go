package coordinator

import (
	"context"
	"net"
	"testing"
)

func TestChoice_SurvivesDerivedContexts(t *testing.T) {
	type otherKey struct{}
	c := newFakeCluster(nil)
	want := singleNode{c.hosts.hosts[1]}
	ctx := withChoice(t.Context(), want)
	ctx, cancel := context.WithCancel(context.WithValue(ctx, otherKey{}, "wrapped"))
	defer cancel()
	if got := choiceFrom(ctx); got != want {
		t.Errorf("got %v, want the choice of the parent context", got)
	}
	if got := choiceFrom(t.Context()); got != nil {
		t.Errorf("got %v from a context without a choice", got)
	}
}

func TestChoice_IsTheDriversWithoutOne(t *testing.T) {
	c := newFakeCluster(nil)
	next := c.HostPolicy().Pick(fakeQuery{ctx: t.Context()})
	for _, want := range []string{"a", "b", "c"} {
		if got := next().Info().HostID(); got != want {
			t.Errorf("got node %s, want %s", got, want)
		}
	}
}

func TestRunner_WithNodeAsksOneNodeOnly(t *testing.T) {
	c := newFakeCluster(nil)
	c.hosts.hosts[0].SetConnectAddress(net.ParseIP("10.0.0.1"))
	c.hosts.hosts[1].SetConnectAddress(net.ParseIP("10.0.0.2"))
	c.hosts.hosts[2].SetConnectAddress(net.ParseIP("10.0.0.3"))
	ctx, err := c.WithNode(t.Context(), "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	next := c.HostPolicy().Pick(fakeQuery{ctx: ctx})
	if got := next().Info().HostID(); got != "b" {
		t.Errorf("got node %s, want b", got)
	}
	if host := next(); host != nil {
		t.Errorf("got a second node, %s", host.Info().HostID())
	}
	if _, err := c.WithNode(t.Context(), "10.0.0.4"); err == nil {
		t.Error("got no error for a node that is not up")
	}
}
