//go:build integration

package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"userinfo/internal/fleet"
)

// The faults' rate and length, and what a load must look like before one begins: the nodes' first requests are slow,
// because their JVMs are cold, and all of them share this machine.
const (
	rate     = 150 // requests/s
	strain   = 30 * time.Second
	calm     = 4 * time.Second        // without an error, and
	usual    = 500 * time.Millisecond // the 99th percentile at most
	warmUp   = 3 * time.Minute        // in this time at the latest
	lookedAt = time.Second
)

// ordeal runs a load until it is calm and then through a fault, and returns the summary from a second after the fault's
// begin to its end. The fault ends when the load has: a node that comes back works for itself on the same cores.
func ordeal(t *testing.T, l *load, begin, end func() error, during func()) (hurt summary) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); l.run(stop) }()
	l.awaitCalm(t)
	t1 := time.Now()
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	if during != nil {
		during()
	}
	time.Sleep(strain - time.Since(t1)) // the load is the event: there is nothing to await but its length
	t2 := time.Now()
	close(stop)
	<-done
	if err := end(); err != nil {
		t.Fatal(err)
	}
	hurt = l.between(t1.Add(time.Second), t2)
	t.Logf("before:       %v", l.between(t1.Add(-calm), t1))
	t.Logf("first second: %v", l.between(t1, t1.Add(time.Second)))
	t.Logf("fault:        %v", hurt)
	return hurt
}

// tooMany allows for one request in a thousand: nodes, service, load and test share a few cores here, where a JVM that
// collects its garbage at the wrong moment takes a request with it. What there was is logged.
func tooMany(s summary) bool { return s.errors*1000 > s.requests }

// awaitCalm waits until the load goes as it should.
func (l *load) awaitCalm(t *testing.T) {
	t.Helper()
	start := time.Now()
	for {
		time.Sleep(lookedAt)
		now := time.Now()
		// The youngest may not have been answered yet.
		s := l.between(now.Add(-calm-patience), now.Add(-patience))
		if now.Sub(start) > calm+patience && s.errors == 0 && s.p99 < usual {
			t.Logf("calm after %v", now.Sub(start).Round(time.Second))
			return
		}
		if now.Sub(start) > warmUp {
			t.Fatalf("the load is not calm after %v: this machine is too slow or busy for %d requests/s: %v", warmUp, l.rate, s)
		}
	}
}

func TestOneLocalNodeGoneIsNotNoticedByClients(t *testing.T) {
	ctx := context.Background()
	w := shared
	c := w.cluster
	victim := c.Nodes("dc1")[1]
	for _, fault := range []struct {
		name       string
		begin, end func() error
	}{
		{"paused", func() error { return victim.Pause(ctx) }, func() error { return victim.Unpause(ctx) }},
		{"half joined: cut from its peers, open to clients",
			func() error { return c.Cut(ctx, c.Around(victim)) }, func() error { return c.Heal(ctx, c.Around(victim)) }},
		{"killed", func() error { return victim.Kill(ctx) }, func() error { return victim.Start(ctx) }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			i := w.serve(t, "dc1")
			client := w.client(i)
			l := &load{client: client, keys: client.loadKeys(t, 200), rate: rate}
			hurt := ordeal(t, l, fault.begin, fault.end, nil)
			w.logHedges(t, i, l)
			if tooMany(hurt) {
				t.Errorf("during the fault %v; the first: %v", hurt, hurt.first)
			}
			if hurt.requests < rate*int((strain-2*time.Second).Seconds()) {
				t.Errorf("only %d requests during the fault, which is less than %d/s", hurt.requests, rate)
			}
			w.settle(t)
			for _, key := range l.keys {
				client.want(t, http.StatusOK, http.MethodGet, key, "")
			}
		})
	}
}

func TestTheOtherDatacentreGone(t *testing.T) {
	ctx := context.Background()
	w := shared
	i := w.serve(t, "dc1")
	client := w.client(i)
	l := &load{client: client, keys: client.loadKeys(t, 200), rate: rate}
	doomed := client.loadKeys(t, 12)
	cut := w.cluster.Between("dc1", "dc2")

	logouts := func() {
		// The first come while Cassandra has not noticed and waits for answers; the last when it has and refuses at once.
		for n, key := range doomed {
			start := time.Now()
			text := client.want(t, http.StatusServiceUnavailable, http.MethodDelete, key, "")
			took := time.Since(start)
			if !strings.Contains(text, "urn:userinfo:problem:not-everywhere") {
				t.Errorf("a delete that is done here alone says %s", text)
			}
			client.want(t, http.StatusNotFound, http.MethodGet, key, "")
			client.want(t, http.StatusConflict, http.MethodPut, key, "straggler")
			if n == 0 || n == len(doomed)-1 {
				t.Logf("delete %d answered after %v", n+1, took.Round(time.Millisecond))
			}
			time.Sleep(time.Second)
		}
	}
	hurt := ordeal(t, l,
		func() error { return w.cluster.Cut(ctx, cut) },
		func() error { return w.cluster.Heal(ctx, cut) }, logouts)
	w.logHedges(t, i, l)
	if tooMany(hurt) {
		t.Errorf("during the cut %v; the first: %v", hurt, hurt.first)
	}
	w.settle(t)
	there := w.client(w.serve(t, "dc2"))
	for _, key := range doomed {
		client.want(t, http.StatusNoContent, http.MethodDelete, key, "")
		there.want(t, http.StatusNotFound, http.MethodGet, key, "")
	}
}

// logHedges says what share of all requests, those before the fault included, was asked of a second coordinator too.
func (w *world) logHedges(t *testing.T, i *fleet.Instance, l *load) {
	t.Helper()
	t.Logf("hedges:       %v, of which %v won, in %d requests", w.metric(t, i, "userinfo_cassandra_hedges_total"),
		w.metric(t, i, "userinfo_cassandra_hedges_won_total"), len(l.events))
}

// settle waits until every node sees every other again.
func (w *world) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := w.cluster.WaitAllUp(ctx); err != nil {
		t.Fatal(err)
	}
}
