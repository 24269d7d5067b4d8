package testcluster

import (
	"testing"
	"time"
)

func TestShaper_DelaysPacketsAndLimitsBandwidth(t *testing.T) {
	const delay = 50 * time.Millisecond
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	type packet struct {
		sent    int // ms after start
		bytes   int
		arrival int // ms after start; -1: lost
	}
	for name, row := range map[string]struct {
		bitsPerSecond int
		packets       []packet
	}{
		"without a limit, every packet is delayed":              {0, []packet{{0, 1500, 50}, {0, 1500, 50}, {3, 60_000, 53}}},
		"with a limit, a packet also waits for earlier packets": {1_000_000, []packet{{0, 1250, 60}, {0, 1250, 70}, {5, 125, 71}}},
		"an idle link does not accumulate bandwidth":            {1_000_000, []packet{{0, 1250, 60}, {1000, 1250, 1060}, {1000, 1250, 1070}}},
		"a packet that would wait for more than a second is lost": {1_000_000, []packet{
			{0, 60_000, 530}, {0, 60_000, 1010}, {0, 60_000, 1490}, {0, 60_000, -1}, {500, 1250, 1500},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shaper{delay: delay, bitsPerSecond: row.bitsPerSecond}
			for i, p := range row.packets {
				arrival, ok := s.arrival(start.Add(time.Duration(p.sent)*time.Millisecond), p.bytes)
				if got := arrival.Sub(start).Milliseconds(); ok != (p.arrival >= 0) || ok && got != int64(p.arrival) {
					t.Errorf("packet %d: arrives (%v) after %d ms, want %d", i, ok, got, p.arrival)
				}
			}
		})
	}
}

func TestCluster_ShapeRejectsUselessLimits(t *testing.T) {
	for name, row := range map[string]struct {
		delay         time.Duration
		bitsPerSecond int
	}{
		"nothing is limited":    {0, 0},
		"the delay is negative": {-time.Second, 0},
		"the rate is negative":  {time.Second, -1},
	} {
		t.Run(name, func(t *testing.T) {
			if err := (&Cluster{}).Shape(t.Context(), Link{}, row.delay, row.bitsPerSecond); err == nil {
				t.Error("no error")
			}
		})
	}
}
