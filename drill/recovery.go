package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
	"userinfo/drill/load"
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

// waitRecovered waits until every node sees every other node, every instance is ready, no delete is pending, every bucket of
// pending deletes can be read, and no node has hints for another node. A fault may have made a bucket unreadable for longer
// (environment.unreadableBucket). Hints matter because a write may reach the other datacentre by a hint only: Cassandra sends the
// write to one remote node, which forwards it. If that node is cut off, all remote nodes miss the write.
func (e *environment) waitRecovered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoveryTimeout)
	defer cancel()
	if err := e.cluster.WaitAllUp(ctx); err != nil {
		return err
	}
	for _, i := range e.instances {
		err := poll(ctx, "instance "+i.Name+" to be ready", i.Log, func() bool {
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
		err := poll(ctx, "instance "+i.Name+" to replay every pending delete", i.Log, func() bool {
			s, err := e.sample(ctx, i)
			return err == nil && s.Pending == 0 && (s.Unreadable == 0 || e.unreadableBucket) && time.Since(ready) > scanInterval
		})
		if err != nil {
			return err
		}
	}
	for _, n := range e.cluster.Nodes("") {
		last := ""
		err := poll(ctx, "node "+n.Name+" to deliver its hints", func() string { return last }, func() bool {
			pending, err := n.PendingHints(ctx)
			last = fmt.Sprintf("hints left: %q, error: %v", pending, err)
			return err == nil && pending == ""
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// poll waits until a condition is true. Its error ends with the last part of details.
func poll(ctx context.Context, what string, details func() string, holds func() bool) error {
	for !holds() {
		if err := sleep(ctx, pollInterval); err != nil {
			return fmt.Errorf("waiting for %s: %w; %s", what, err, end(details()))
		}
	}
	return nil
}

// end returns the last part of a log.
func end(text string) string { return text[max(0, len(text)-3000):] }

const (
	// The load must be calm for calmTime before a drill starts and before each fault. The check waits a little longer, until
	// the last answers of this time have arrived.
	calmTime    = judge.BaselineLength
	calmLatency = judge.BusyP99 // which 99 % of the requests must reach
)

// warmUp runs a load until it is calm. It discards the results. The first requests to a Cassandra node are slow, because its
// JVM has not compiled the code yet.
func (e *environment) warmUp(ctx context.Context, rate float64) error {
	logf(e.log, "warming up")
	r := e.newRecorder(time.Now())
	defer r.Close()
	stop := runLoad(ctx, r, 1, rate, "warm-up", e.targets(sessions))
	defer stop()
	calm, err := waitCalm(ctx, r, e.warmUpTimeout)
	if err == nil && !calm {
		logf(e.log, "requests are still slow or fail after %v: this machine is too slow or too busy for %.0f operations per second; latency will not be judged", e.warmUpTimeout, rate)
	}
	return err
}

// waitCalm waits until the load of a recorder is calm. It reports false after the timeout.
func waitCalm(ctx context.Context, r *load.Recorder, timeout time.Duration) (bool, error) {
	for began := r.Now(); ; {
		if err := sleep(ctx, time.Second); err != nil {
			return false, err
		}
		now := r.Now()
		if to := now - calmLatency; to-began > calmTime && isCalm(r.DueSince(to-calmTime), to-calmTime, to) {
			return true, nil
		}
		if now-began > timeout {
			return false, nil
		}
	}
}

// isCalm reports whether all complete operations that were due in a period succeeded, and 99 % of them within calmLatency. It
// does not see operations that are not complete yet; a later check sees them as slow.
func isCalm(operations []history.Operation, from, to time.Duration) bool {
	all, slow := 0, 0
	for _, o := range operations {
		if o.Due < from || o.Due >= to {
			continue
		}
		all++
		if o.Outcome() == history.Unknown || o.Status >= 500 {
			return false
		}
		if o.Complete-o.Due > calmLatency {
			slow++
		}
	}
	return all > 0 && slow*100 <= all
}
