package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/load"
	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

const (
	// recoveryTimeout limits the time from the end of a fault until everything has recovered. The replay of a pending
	// delete may take 60 s of it.
	recoveryTimeout = 4 * time.Minute
	// scanInterval is longer than the interval at which an instance looks for pending deletes. It is also longer than
	// Cassandra needs to write a hint: 2 s until the write times out, and 1 s until the hint is flushed.
	scanInterval = 6500 * time.Millisecond
	// pollInterval is how often a condition is checked.
	pollInterval = 300 * time.Millisecond
)

// waitRecovered waits until every node sees every other node, every instance is ready, no delete is pending, and no node has
// hints for another node. Hints matter because a write may reach the other datacentre by a hint only: Cassandra sends the
// write to one remote node, which forwards it. If that node is cut off, all remote nodes miss the write.
func (e *environment) waitRecovered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoveryTimeout)
	defer cancel()
	if err := e.cluster.WaitAllUp(ctx); err != nil {
		return err
	}
	for _, i := range e.instances {
		err := e.waitInstance(ctx, i, "is ready", func() bool {
			status, _, err := e.get(ctx, i, "/readyz")
			return err == nil && status == http.StatusOK
		})
		if err != nil {
			return err
		}
	}
	ready := time.Now()
	for _, i := range e.instances {
		// The gauge is set by a scan. Wait for a scan that started after all instances were ready.
		err := e.waitInstance(ctx, i, "has replayed every pending delete", func() bool {
			s, err := e.sample(ctx, i)
			return err == nil && s.Pending == 0 && time.Since(ready) > scanInterval
		})
		if err != nil {
			return err
		}
	}
	for _, n := range e.cluster.Nodes("") {
		if err := waitHints(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// waitInstance waits until a condition of an instance is true.
func (e *environment) waitInstance(ctx context.Context, i *fleet.Instance, condition string, holds func() bool) error {
	for !holds() {
		if err := sleep(ctx, pollInterval); err != nil {
			log := i.Log()
			return fmt.Errorf("waiting until instance %s %s: %w; end of its log:\n%s", i.Name, condition, err, log[max(0, len(log)-3000):])
		}
	}
	return nil
}

// waitHints waits until a node has delivered its hints.
func waitHints(ctx context.Context, n *testcluster.Node) error {
	for {
		pending, err := n.PendingHints(ctx)
		if err == nil && pending == "" {
			return nil
		}
		if timeout := sleep(ctx, pollInterval); timeout != nil {
			return fmt.Errorf("waiting until node %s has delivered its hints: %w; hints left: %q (%v)", n.Name, timeout, pending, err)
		}
	}
}

const (
	warmUpTimeout = 3 * time.Minute
	warmUpPeriod  = 5 * time.Second        // how long the load must be fast before a drill starts
	warmUpLatency = 400 * time.Millisecond // which 99 % of the requests must reach
)

// warmUp runs a load until it is fast. It discards the results. The first requests to a Cassandra node are slow, because its
// JVM has not compiled the code yet.
func (e *environment) warmUp(ctx context.Context, rate float64) error {
	logf(e.log, "warming up")
	r := e.newRecorder(time.Now())
	defer r.Close()
	stop := runLoad(ctx, r, 1, rate, "warm-up", e.targets())
	defer stop()
	for {
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
		to := r.Now() - load.ClientTimeout // all earlier operations are complete
		if from := to - warmUpPeriod; from > 0 && isFast(r.Operations(), from, to) {
			return nil
		}
		if r.Now() > warmUpTimeout {
			return fmt.Errorf("requests are still slow after %v: this machine is too slow or too busy for %.0f operations per second; use a lower -rate", warmUpTimeout, rate)
		}
	}
}

// isFast reports whether all operations that were due in a period succeeded, and 99 % of them within warmUpLatency.
func isFast(operations []history.Operation, from, to time.Duration) bool {
	all, slow := 0, 0
	for _, o := range operations {
		if o.Due < from || o.Due >= to {
			continue
		}
		all++
		if o.Outcome() == history.Unknown || o.Status >= 500 {
			return false
		}
		if o.Complete-o.Due > warmUpLatency {
			slow++
		}
	}
	return all > 0 && slow*100 <= all
}
