package clockskew

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMonitor_LogsNothingIfClocksAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(threeNodes())
		a, b := start(t, table, "dc1", "a", 0), start(t, table, "dc2", "bb", 20*time.Millisecond)
		time.Sleep(time.Hour)
		for _, i := range []*instance{a, b} {
			i.wantLogged("in an hour", "clock", 0)
		}
	})
}

func TestMonitor_WarnsWithTheWrongClockAndWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name  string
		ahead time.Duration // of the instance
		node  time.Duration // of one node of three
		text  string
	}{
		{"this instance is ahead", 10 * time.Second, 0, "this instance ahead by 10s"},
		{"this instance is a little behind", -120 * time.Millisecond, 0, "this instance behind by 120ms"},
		{"a node is behind", 0, -time.Second, "cassandra 10.0.0.1 behind by 1s ±1ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := threeNodes()
				nodes["10.0.0.1"] = c.node
				i := start(t, newFakeTable(nodes), "dc1", "a", c.ahead)
				time.Sleep(time.Minute)
				for _, text := range []string{logWrong, c.text, "chronyc makestep"} {
					i.wantLogged("after a minute", text, 1)
				}
				time.Sleep(9 * time.Minute)
				i.wantLogged("after ten minutes", logWrong, 1)
				time.Sleep(50 * time.Minute)
				if n := strings.Count(i.log.String(), logWrong); n < 4 || n > 6 {
					t.Errorf("%d warnings in an hour, want 4 to 6", n)
				}
			})
		})
	}
}

func TestMonitor_WrongInstanceIsNamedByAllInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(nil)
		a, b := start(t, table, "dc1", "a", 0), start(t, table, "dc2", "bb", 0)
		c := start(t, table, "dc2", "ccc", 5*time.Second)
		time.Sleep(settleTime)
		a.wantLogged("a", "instance dc2/ccc ahead by 5", 1)
		b.wantLogged("b", "instance dc2/ccc ahead by 5", 1)
		c.wantLogged("c", "this instance ahead by 5", 1)
	})
}

func TestMonitor_OfTwoClocksNeitherIsCalledWrong(t *testing.T) {
	for text, ahead := range map[string]time.Duration{
		"cassandra 10.0.0.1 ahead by 10s": 10 * time.Second, "cassandra 10.0.0.1 behind by 10s": -10 * time.Second,
	} {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := newFakeTable(map[string]time.Duration{"10.0.0.1": ahead})
				i := start(t, table, "dc1", "a", 0)
				time.Sleep(time.Minute)
				i.wantLogged("after a minute", logNoMajority, 1)
				i.wantLogged("after a minute", text, 1)
				i.wantLogged("after a minute", logWrong, 0)
				table.change(func() { table.clocks["10.0.0.1"] = 0 })
				time.Sleep(time.Minute)
				i.wantLogged("after the clock was corrected", logAgree, 1)
			})
		})
	}
}

// TestMonitor_DoesNotWarnWithinTheError uses a round trip so long that the clock's skew may be nothing but its error.
func TestMonitor_DoesNotWarnWithinTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(map[string]time.Duration{"10.0.0.1": 300 * time.Millisecond, "10.0.0.2": 0, "10.0.0.3": 0})
		table.latency = 500 * time.Millisecond
		i := start(t, table, "dc1", "a", 0)
		time.Sleep(time.Minute)
		i.wantLogged("with slow statements", "clock", 0)
		table.change(func() { table.latency = 2 * time.Millisecond })
		time.Sleep(time.Minute)
		i.wantLogged("with fast statements", logWrong, 1)
	})
}

func TestMonitor_LimitsWarningsIfAClockChangesOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(threeNodes())
		i := start(t, table, "dc1", "a", 0)
		for n := range 180 {
			table.change(func() { table.clocks["10.0.0.1"] = time.Duration(n%2) * time.Second })
			time.Sleep(20 * time.Second)
		}
		if lines := strings.Count(i.log.String(), "\n"); lines > 120 || lines < 2 {
			t.Errorf("%d log records in an hour, want 2 to 120", lines)
		}
	})
}
