package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"userinfo/drill/history"
)

// strainFaults are too much of something.
func strainFaults() []fault {
	return []fault{
		{name: "compaction", what: "flush and compaction of one node, again and again", expect: history.Strain, begin: nothing,
			during: func(ctx context.Context, d *drill, length time.Duration) error {
				for end := time.Now().Add(length); time.Now().Before(end); {
					for _, command := range []string{"flush", "compact"} {
						if _, err := d.victim().Nodetool(ctx, command, "userinfo"); err != nil {
							return err
						}
					}
				}
				return nil
			}},
		{name: "hot-key", what: "one key rewritten up to 1,000 times a second", expect: history.Strain, begin: nothing,
			during: func(ctx context.Context, d *drill, length time.Duration) error {
				d.flood(ctx, length, 1000, func(int) history.Operation {
					return history.Operation{Method: history.Set, Key: "drill:hot", TTL: 3600}
				})
				return nil
			}},
		{name: "misses", what: "up to 1,000 gets a second of keys that nobody has set", expect: history.Strain, begin: nothing,
			during: func(ctx context.Context, d *drill, length time.Duration) error {
				d.flood(ctx, length, 1000, func(n int) history.Operation {
					return history.Operation{Method: history.Get, Key: fmt.Sprintf("drill:nobody:%d:%d", d.plan.seed, n)}
				})
				return nil
			}},
	}
}

// floodWorkers bound a flood: where the installation is slower than the flood, it gets what it can take.
const floodWorkers = 24

// flood sends operations as fast as perSecond and the workers allow, through one datacentre.
func (d *drill) flood(ctx context.Context, length time.Duration, perSecond int, next func(n int) history.Operation) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	tickets := make(chan int)
	var workers sync.WaitGroup
	targets := d.targets()[0]
	for w := range floodWorkers {
		workers.Go(func() {
			for n := range tickets {
				o := next(n)
				o.Due = d.recorder.Now()
				d.recorder.Do(targets[w%len(targets)], o)
			}
		})
	}
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case tickets <- n:
		case <-ctx.Done():
		}
		<-tick.C
	}
	close(tickets)
	workers.Wait()
}
