package main

import (
	"context"
	"os"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// instanceFaults befall the service's own processes. Its clients have no balancer here, so that those who ask the one
// that is gone fail.
func instanceFaults() []fault {
	victim := func(d *drill) *fleet.Instance { return d.instances[0] }
	return []fault{
		{name: "instance-kill", what: "SIGKILL to one instance of the service", expect: history.Outage,
			begin: func(_ context.Context, d *drill) error { return d.kill(victim(d)) },
			end:   func(ctx context.Context, d *drill) error { return victim(d).Start(ctx) }},
		{name: "instance-pause", what: "one instance of the service frozen", expect: history.Outage,
			begin: func(_ context.Context, d *drill) error { return victim(d).Pause() },
			end:   func(_ context.Context, d *drill) error { return victim(d).Unpause() }},
	}
}

// setClocks puts the clocks of some instances off, by their places.
func (d *drill) setClocks(offsets map[int]time.Duration) error {
	for place, offset := range offsets {
		if err := os.WriteFile(d.instances[place].ClockFile(), []byte(offset.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// instancesApart puts the clocks of two instances, one in each datacentre, off by as much in either direction.
func instancesApart(name, what string, offset time.Duration) fault {
	return fault{name: name, what: what, expect: history.Strain, clockSkew: 2 * offset,
		begin: func(_ context.Context, d *drill) error {
			return d.setClocks(map[int]time.Duration{1: offset, 3: -offset})
		},
		end: func(_ context.Context, d *drill) error { return d.truthAgain(2 * offset) }}
}

// truthAgain puts all clocks right, and waits until instances that were ahead have caught up: their timestamps never
// go back.
func (d *drill) truthAgain(skew time.Duration) error {
	if err := d.setClocks(map[int]time.Duration{0: 0, 1: 0, 2: 0, 3: 0}); err != nil {
		return err
	}
	time.Sleep(skew)
	return nil
}

// jump is how often a jumping clock jumps.
const jump = 3 * time.Second

func clockFaults() []fault {
	nodeClock := func(name, what string, offset time.Duration) fault {
		return fault{name: name, what: what, expect: history.Strain, cassandraSkew: max(offset, -offset), needs: testcluster.Options{SettableClocks: true},
			begin: func(ctx context.Context, d *drill) error { return d.victim().SetClock(ctx, offset) },
			end:   func(ctx context.Context, d *drill) error { return d.victim().SetClock(ctx, 0) }}
	}
	return []fault{
		instancesApart("clock-500ms", "two instances' clocks 0.5 s ahead and behind", 500*time.Millisecond),
		instancesApart("clock-10s", "two instances' clocks 10 s ahead and behind", 10*time.Second),
		{name: "clock-jumping", what: "an instance's clock jumps between 10 s ahead and 10 s behind", expect: history.Strain, clockSkew: 20 * time.Second,
			begin: nothing,
			during: func(ctx context.Context, d *drill, length time.Duration) error {
				offset := 10 * time.Second
				for end := time.Now().Add(length); time.Now().Before(end) && sleep(ctx, jump); offset = -offset {
					if err := d.setClocks(map[int]time.Duration{1: offset}); err != nil {
						return err
					}
				}
				return ctx.Err()
			},
			end: func(_ context.Context, d *drill) error { return d.truthAgain(20 * time.Second) }},
		nodeClock("node-clock-500ms", "one Cassandra node's clock 0.5 s ahead", 500*time.Millisecond),
		nodeClock("node-clock-ahead", "one Cassandra node's clock 10 s ahead", 10*time.Second),
		nodeClock("node-clock-behind", "one Cassandra node's clock 10 s behind", -10*time.Second),
	}
}
