package main

import (
	"context"
	"fmt"

	"userinfo/bench/cost"
	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/bench/target"
)

// footprint is a target's memory before and while it has so many connections, each of which has asked before and can ask after.
func footprint(ctx context.Context, t *target.Target, connections int) (result.Footprint, error) {
	f := result.Footprint{Target: t.Name, Connections: connections}
	var err error
	if f.Rest, err = memory(t); err != nil {
		return f, err
	}
	dialer, err := t.Dialer()
	if err != nil {
		return f, err
	}
	defer dialer.Close()
	open, err := load.Idle(ctx, dialer, connections, &load.Op{Key: "nobody", Absent: true})
	if err != nil {
		return f, fmt.Errorf("opening %d connections to %s: %w", connections, t.Name, err)
	}
	defer open.Close()
	if f.RSS, err = memory(t); err != nil {
		return f, err
	}
	if err := open.Ask(ctx); err != nil {
		return f, fmt.Errorf("asking %s again after its memory was read: %w", t.Name, err)
	}
	return f, nil
}

// memory of the processes that speak to clients.
func memory(t *target.Target) (sum int64, err error) {
	for _, p := range t.Processes {
		if p.Kind == result.KindCassandra {
			continue
		}
		rss, err := cost.RSS(p.PID)
		if err != nil {
			return 0, err
		}
		sum += rss
	}
	if sum == 0 {
		return 0, fmt.Errorf("%s: none of its processes is known here; add pid= to its -url", t.Name)
	}
	return sum, nil
}
