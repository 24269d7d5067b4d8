package clockskew

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMonitor_RemovesStoppedInstancesAndNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(threeNodes())
		a, b := start(t, table, "dc1", "a", 0), start(t, table, "dc2", "bb", 0)
		time.Sleep(settleTime)
		b.stop()
		table.change(func() { delete(table.clocks, "10.0.0.3") })
		time.Sleep(heartbeatTTL + 2*roundsToReport*pause)
		a.wantSkews("after they stopped", map[string]time.Duration{"cassandra 10.0.0.1": 0, "cassandra 10.0.0.2": 0})
		a.wantLogged("after they stopped", "clock", 0)
		table.change(func() {
			if offsets := table.heartbeats["a"].Offsets; len(offsets) > 0 {
				t.Errorf("the heartbeat still has the offsets %v", offsets)
			}
		})
	})
}

func TestMonitor_CassandraDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(threeNodes())
		a, _ := start(t, table, "dc1", "a", 0), start(t, table, "dc1", "bb", 0)
		time.Sleep(settleTime)
		table.change(func() { table.down = true })
		time.Sleep(10 * time.Minute)
		a.wantSkews("while nothing answers", nil)
		a.wantLogged("while nothing answers", logCannotCheck, 1)
		table.change(func() { table.down = false })
		time.Sleep(2 * settleTime)
		a.wantSkews("after the return", map[string]time.Duration{
			"cassandra 10.0.0.1": 0, "cassandra 10.0.0.2": 0, "cassandra 10.0.0.3": 0, "instance dc1/bb": 0})
		before := time.Now()
		if a.stop(); time.Since(before) > 0 {
			t.Errorf("stopping took %v", time.Since(before))
		}
	})
}

func TestMonitor_LogsNothingIfStoppedDuringAnExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(threeNodes())
		table.latency = time.Second
		a := start(t, table, "dc1", "a", 0)
		time.Sleep(table.latency / 4)
		a.stop()
		a.wantLogged("after it was stopped", "level=", 0)
	})
}
