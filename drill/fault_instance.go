package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/testcluster"
)

// instanceFaults returns the faults of the service's own processes. There is no load balancer, so requests to the lost
// instance fail.
func instanceFaults() []fault {
	return []fault{
		{name: "instance-kill", description: "one instance of the service is killed (SIGKILL)", expect: history.Outage,
			begin: func(_ context.Context, r *run) error { return r.killInstance(r.instances[0]) },
			end:   func(ctx context.Context, r *run) error { return r.instances[0].Start(ctx) }},
		{name: "instance-pause", description: "one instance of the service is frozen", expect: history.Outage,
			begin: func(_ context.Context, r *run) error { return r.instances[0].Pause() },
			end:   func(_ context.Context, r *run) error { return r.instances[0].Unpause() }},
	}
}

// setClocks returns an action that sets the clock errors of all instances. Two of them, one in each datacentre, have errors.
func setClocks(dc1, dc2 time.Duration) action {
	return func(_ context.Context, r *run) error {
		for i, offset := range []time.Duration{0, dc1, 0, dc2} {
			if err := os.WriteFile(r.instances[i].ClockFile(), []byte(offset.String()), 0o600); err != nil {
				return err
			}
		}
		return nil
	}
}

// clockFaults returns the faults of the clocks of instances and nodes.
func clockFaults() []fault {
	// At the end, wait until the clocks have reached the instances that were ahead: their timestamps never go back.
	correctClocks := func(skew time.Duration) action { return sequence(setClocks(0, 0), wait(skew)) }
	instanceClocks := func(name, description string, offset time.Duration) fault {
		return fault{name: name, description: description, expect: history.Strain, clockSkew: 2 * offset,
			begin: setClocks(offset, -offset), end: correctClocks(2 * offset)}
	}
	nodeClock := func(name, description string, offset time.Duration) fault {
		setTo := func(offset time.Duration) action {
			return each(victim, func(n *testcluster.Node, ctx context.Context) error { return n.SetClock(ctx, offset) })
		}
		return fault{name: name, description: description, expect: history.OneNode, cassandraSkew: max(offset, -offset), needs: testcluster.Options{SettableClocks: true},
			begin: setTo(offset), end: setTo(0)}
	}
	const jump, betweenJumps = 10 * time.Second, 3 * time.Second
	return []fault{
		instanceClocks("clock-500ms", "the clocks of two instances are 0.5 s ahead and behind", 500*time.Millisecond),
		instanceClocks("clock-10s", "the clocks of two instances are 10 s ahead and behind", 10*time.Second),
		{name: "clock-jumping", description: "the clock of one instance jumps between 10 s ahead and 10 s behind", expect: history.Strain, clockSkew: 2 * jump,
			repeat: sequence(setClocks(jump, 0), wait(betweenJumps), setClocks(-jump, 0), wait(betweenJumps)), end: correctClocks(2 * jump)},
		nodeClock("node-clock-500ms", "the clock of one Cassandra node is 0.5 s ahead", 500*time.Millisecond),
		nodeClock("node-clock-ahead", "the clock of one Cassandra node is 10 s ahead", 10*time.Second),
		nodeClock("node-clock-behind", "the clock of one Cassandra node is 10 s behind", -10*time.Second),
	}
}

// overloadFaults returns faults that load the installation more than usual.
func overloadFaults() []fault {
	const floodRate, floodTime = 1000, time.Second
	flood := func(next func(r *run, n int) history.Operation) action {
		return func(ctx context.Context, r *run) error {
			flooding, cancel := context.WithTimeout(ctx, floodTime)
			defer cancel()
			r.recorder.Flood(flooding, r.targets(sessions)[0], floodRate, func(n int) history.Operation { return next(r, n) })
			return ctx.Err()
		}
	}
	return []fault{
		{name: "compaction", description: "one node flushes and compacts all the time", expect: history.Strain,
			repeat: sequence(nodetool(victim, "flush", "userinfo"), nodetool(victim, "compact", "userinfo"))},
		{name: "hot-key", description: "one key is set up to 1,000 times a second", expect: history.Strain,
			repeat: flood(func(*run, int) history.Operation {
				return history.Operation{Method: history.Set, Key: "drill:hot", TTL: 3600}
			})},
		{name: "misses", description: "up to 1,000 gets a second of keys that were never set", expect: history.Strain,
			repeat: flood(func(r *run, n int) history.Operation {
				return history.Operation{Method: history.Get, Key: fmt.Sprintf("drill:never-set:%d:%d:%d", r.plan.seed, r.recorder.Now(), n)}
			})},
	}
}
