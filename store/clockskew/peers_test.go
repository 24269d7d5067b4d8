package clockskew

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestMonitor_Skews(t *testing.T) {
	for _, ahead := range []time.Duration{0, 150 * time.Millisecond, -500 * time.Millisecond, 10 * time.Second, -10 * time.Second} {
		for _, latency := range []time.Duration{2 * time.Millisecond, 100 * time.Millisecond} {
			t.Run(fmt.Sprintf("clock ahead by %v, latency %v", ahead, latency), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := threeNodes()
					nodes["10.0.0.2"] = 3 * time.Second
					table := newFakeTable(nodes)
					table.latency = latency
					a := start(t, table, "dc1", "a", ahead)
					b := start(t, table, "dc1", "bb", 0)
					c := start(t, table, "dc2", "ccc", 200*time.Millisecond)
					time.Sleep(settleTime)
					a.wantSkews("a", map[string]time.Duration{
						"cassandra 10.0.0.1": -ahead, "cassandra 10.0.0.2": 3*time.Second - ahead, "cassandra 10.0.0.3": -ahead,
						"instance dc1/bb": -ahead, "instance dc2/ccc": 200*time.Millisecond - ahead,
					})
					b.wantSkews("b", map[string]time.Duration{
						"cassandra 10.0.0.1": 0, "cassandra 10.0.0.2": 3 * time.Second, "cassandra 10.0.0.3": 0,
						"instance dc1/a": ahead, "instance dc2/ccc": 200 * time.Millisecond,
					})
					c.wantSkews("c", map[string]time.Duration{
						"cassandra 10.0.0.1": -200 * time.Millisecond, "cassandra 10.0.0.2": 2800 * time.Millisecond, "cassandra 10.0.0.3": -200 * time.Millisecond,
						"instance dc1/a": ahead - 200*time.Millisecond, "instance dc1/bb": -200 * time.Millisecond,
					})
				})
			})
		}
	}
}

func TestMonitor_ForgetsOldOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(nil)
		a, _ := start(t, table, "dc1", "a", 0), start(t, table, "dc1", "bb", 0)
		time.Sleep(settleTime)
		table.change(func() { table.latency = 200 * time.Millisecond })
		time.Sleep(2*roundsToWindow*pause + settleTime)
		if maxError := a.metric("userinfo_clock_skew_error_seconds")["instance dc1/bb"]; maxError < 200*time.Millisecond {
			t.Errorf("the published error is %v, although no heartbeat is read sooner than 200 ms after it was written", maxError)
		}
	})
}

func TestMonitor_NoticesWithinAMinuteThatAClockWasSet(t *testing.T) {
	for _, jump := range []time.Duration{10 * time.Second, -10 * time.Second, time.Hour, -time.Hour, 300 * time.Millisecond} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := newFakeTable(nil)
				a, b := start(t, table, "dc1", "a", 0), start(t, table, "dc2", "bb", 0)
				time.Sleep(5 * time.Minute)
				a.setClock(jump)
				time.Sleep(time.Minute)
				a.wantSkews("a", map[string]time.Duration{"instance dc2/bb": -jump})
				b.wantSkews("b", map[string]time.Duration{"instance dc1/a": jump})
				a.setClock(0)
				time.Sleep(time.Minute)
				a.wantSkews("a, set back", map[string]time.Duration{"instance dc2/bb": 0})
				b.wantSkews("b, a set back", map[string]time.Duration{"instance dc1/a": 0})
			})
		})
	}
}
