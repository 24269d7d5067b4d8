package testcluster

import (
	"testing"
	"time"
)

func TestALineDelaysEachPacketAndSendsNoFasterThanItMay(t *testing.T) {
	const delay = 50 * time.Millisecond
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	type arrival struct {
		sent, bytes int // ms after the start
		due         int // ms after the start, -1: lost
	}
	for claim, row := range map[string]struct {
		bitsPerSecond int
		arrivals      []arrival
	}{
		"without a limit, all are late by the delay alone": {0, []arrival{{0, 1500, 50}, {0, 1500, 50}, {3, 60_000, 53}}},
		"with a limit, each waits for those before it":     {1_000_000, []arrival{{0, 1250, 60}, {0, 1250, 70}, {5, 125, 71}}},
		"a line that was idle has saved nothing up":        {1_000_000, []arrival{{0, 1250, 60}, {1000, 1250, 1060}, {1000, 1250, 1070}}},
		"what would wait over a second is lost": {1_000_000, []arrival{
			{0, 60_000, 530}, {0, 60_000, 1010}, {0, 60_000, 1490}, {0, 60_000, -1}, {500, 1250, 1500},
		}},
	} {
		t.Run(claim, func(t *testing.T) {
			l := &line{delay: delay, bitsPerSecond: row.bitsPerSecond}
			for i, a := range row.arrivals {
				due, taken := l.due(start.Add(time.Duration(a.sent)*time.Millisecond), a.bytes)
				if got := due.Sub(start).Milliseconds(); taken != (a.due >= 0) || taken && got != int64(a.due) {
					t.Errorf("packet %d: taken %v, due after %d ms, want %d", i, taken, got, a.due)
				}
			}
		})
	}
}

func TestAShapeThatMakesNoSenseIsRefused(t *testing.T) {
	for claim, row := range map[string]struct {
		delay         time.Duration
		bitsPerSecond int
	}{
		"nothing is limited":    {0, 0},
		"the delay is negative": {-time.Second, 0},
		"the rate is negative":  {time.Second, -1},
	} {
		t.Run(claim, func(t *testing.T) {
			if err := (&Cluster{}).Shape(t.Context(), Link{}, row.delay, row.bitsPerSecond); err == nil {
				t.Error("no error")
			}
		})
	}
}
