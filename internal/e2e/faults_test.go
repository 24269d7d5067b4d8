//go:build integration

package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The faults' rate and length, and how long the load runs before and after.
const (
	rate   = 150 // requests/s
	calm   = 5 * time.Second
	strain = 30 * time.Second
)

// ordeal runs a load through a fault and returns the summaries of before, of during from a second on, and of after.
func ordeal(t *testing.T, l *load, begin, end func() error, during func()) (before, hurt, after summary) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); l.run(stop) }()
	t0 := time.Now()
	time.Sleep(calm) // the load is the event: there is nothing to await but its length
	t1 := time.Now()
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	if during != nil {
		during()
	}
	time.Sleep(strain - time.Since(t1))
	t2 := time.Now()
	if err := end(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(calm)
	close(stop)
	<-done
	first := l.between(t1, t1.Add(time.Second))
	before, hurt, after = l.between(t0, t1), l.between(t1.Add(time.Second), t2), l.between(t2, time.Now())
	t.Logf("before:       %v", before)
	t.Logf("first second: %v", first)
	t.Logf("fault:        %v", hurt)
	t.Logf("after:        %v", after)
	return before, hurt, after
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
			_, hurt, after := ordeal(t, l, fault.begin, fault.end, nil)
			if hurt.errors > 0 {
				t.Errorf("during the fault %v; the first: %v", hurt, hurt.first)
			}
			if hurt.requests < rate*int((strain-2*time.Second).Seconds()) {
				t.Errorf("only %d requests during the fault, which is less than %d/s", hurt.requests, rate)
			}
			// Its return costs the machine that all nodes share a burst of work, which may take some requests too long; what
			// counts is that it passes.
			if after.errors*20 > after.requests {
				t.Errorf("after the fault %v; the first: %v", after, after.first)
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
	_, hurt, after := ordeal(t, l,
		func() error { return w.cluster.Cut(ctx, cut) },
		func() error { return w.cluster.Heal(ctx, cut) }, logouts)
	if hurt.errors > 0 {
		t.Errorf("during the cut %v; the first: %v", hurt, hurt.first)
	}
	if after.errors*20 > after.requests {
		t.Errorf("after the cut %v; the first: %v", after, after.first)
	}
	w.settle(t)
	there := w.client(w.serve(t, "dc2"))
	for _, key := range doomed {
		client.want(t, http.StatusNoContent, http.MethodDelete, key, "")
		there.want(t, http.StatusNotFound, http.MethodGet, key, "")
	}
}

// settle waits until every node sees every other again.
func (w *world) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, dc := range []string{"dc1", "dc2"} {
		for _, n := range w.cluster.Nodes(dc) {
			for _, other := range w.cluster.Others(n) {
				if err := w.cluster.WaitUp(ctx, n, other); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
