package report

import (
	"strings"
	"testing"

	"userinfo/bench/result"
)

func needOf(t *testing.T, m *maker, mode, size string) need {
	t.Helper()
	for _, n := range capacityOf(samplesOf(&m.run)).Rows {
		if n.Mode == mode && n.Size == size {
			return n
		}
	}
	t.Fatalf("no row for %q with %s", mode, size)
	return need{}
}

const keptMTLS, freshMTLS = "kept connections, mutual TLS", "new connections, mutual TLS"

func TestCapacityIsCostTimesRateAtSixtyPercent(t *testing.T) {
	m := quiet()
	m.add(2, service(kept(result.DesignTarget, 9100).with(func(c *condition) { c.Nodes = 3 }), 9100, 60))
	// 60 µs × 9,100/s ÷ 0.6 = 0.91 cores; of Cassandra 70 µs × 9,100/s ÷ 0.6 = 1.06 cores.
	if got := needOf(t, m, keptMTLS, "2,048 B"); got.Service != "0.91" || got.Database != "1.06" || got.Nodes != "3" || strings.Contains(got.Basis, "taken") {
		t.Errorf("%+v", got)
	}
}

func TestCapacityFromOneNodeIsExtrapolated(t *testing.T) {
	m := quiet()
	m.add(2, service(kept(result.DesignTarget, 9100), 9100, 60))
	// Reads twice and writes three times: (9,000 × 2 + 100 × 3) × 70 µs ÷ 0.6.
	if got := needOf(t, m, keptMTLS, "2,048 B"); got.Service != "0.91" || got.Database != "≈ 2.13" || got.Nodes != "≈ 3" || !strings.Contains(got.Basis, "replication") {
		t.Errorf("%+v", got)
	}
}

func TestCapacityOfARunThatDidNotHoldItsRateIsNotGiven(t *testing.T) {
	m, s := quiet(), service(kept(result.DesignTarget, 9100), 9100, 60)
	s.errors = map[string]int64{"503": 1}
	m.add(2, s)
	if got := capacityOf(samplesOf(&m.run)).Rows; len(got) != 0 {
		t.Errorf("%+v", got)
	}
	m.add(2, service(kept(result.Get, 0), 12_000, 30))
	if got := needOf(t, m, keptMTLS, "2,048 B"); got.Service != "0.46" || !strings.Contains(got.Basis, "service: get;") {
		t.Errorf("%+v", got)
	}
}

func TestCapacityIsTakenFromTheHighestRateThatHeld(t *testing.T) {
	m := quiet()
	over := service(kept(result.Get, 12_000), 12_000, 30)
	over.errors = map[string]int64{"503": 1}
	m.add(2, service(kept(result.Get, 500), 500, 400), service(kept(result.Get, 9000), 9000, 60), over)
	if got := needOf(t, m, keptMTLS, "2,048 B"); got.Service != "0.91" {
		t.Errorf("%+v", got)
	}
	m.add(2, service(kept(result.Get, 0), 12_000, 30))
	if got := needOf(t, m, keptMTLS, "2,048 B"); got.Service != "0.46" {
		t.Errorf("with a closed loop, which has found the highest: %+v", got)
	}
}

func TestWritesCostWhatSetsCostWhereTheyWereMeasured(t *testing.T) {
	m, set := quiet(), service(kept(result.Set, 0), 9000, 60)
	set.cpu["cassandra"] = 700
	m.add(2, service(kept(result.Get, 0), 12_000, 30), set)
	// (9,000 × 2 × 70 µs + 100 × 3 × 700 µs) ÷ 0.6.
	if got := needOf(t, m, keptMTLS, "2,048 B"); got.Database != "≈ 2.45" || !strings.Contains(got.Basis, "writes from set") {
		t.Errorf("%+v", got)
	}
}

func TestCapacityTellsTheSizesAndWaysApartThatWereMeasured(t *testing.T) {
	m := quiet()
	large := service(kept(result.Large, 0).with(func(c *condition) { c.ValueBytes = 100_000 }), 3000, 160)
	proxied := truth{target: result.Sidecar, is: kept(result.FreshSidecar, 0), rate: 5000, p50: millisecond, cpu: ofCPU("service", 60, "sidecar", 30.0)}
	m.add(2, service(kept(result.Get, 0), 12_000, 60), service(kept(result.FreshMTLS, 0), 1500, 600), large, proxied)
	for _, test := range []struct{ mode, size, service, sidecar string }{
		{keptMTLS, "2,048 B", "0.91", ""},
		{freshMTLS, "2,048 B", "9.10", ""},
		{keptMTLS, "100 kB", "2.43", ""},
		{freshMTLS, "100 kB", "≈ 10.6", ""}, // 600 + 160 − 60
		{"new connections to a sidecar that keeps its own", "2,048 B", "0.91", "0.46"},
		{"new connections to a sidecar that keeps its own", "100 kB", "≈ 2.43", "not known"},
	} {
		if got := needOf(t, m, test.mode, test.size); got.Service != test.service || got.Sidecar != test.sidecar {
			t.Errorf("%s, %s: %+v", test.mode, test.size, got)
		}
	}
	if n := len(capacityOf(samplesOf(&m.run)).Rows); n != 6 {
		t.Errorf("%d rows, though of the other ways nothing was measured", n)
	}
}
