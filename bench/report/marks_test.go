package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/bench/result"
)

// quiet makes runs without noise.
func quiet() *maker { return newMaker(1, 0) }

func markOf(t *testing.T, run *result.Run, name string) Mark {
	t.Helper()
	all := Marks(run)
	i := slices.IndexFunc(all, func(m Mark) bool { return m.Name == name })
	if i < 0 {
		t.Fatalf("no mark %q", name)
	}
	return all[i]
}

const millisecond = time.Millisecond

// service is userinfo's sample with its service's CPU µs.
func service(is condition, rate, us float64) truth {
	return truth{target: result.UserInfo, is: is, rate: rate, p50: 2 * millisecond, cpu: ofCPU("service", us, "cassandra", 70.0)}
}

func other(target string, is condition, rate float64, kind string, us float64) truth {
	return truth{target: target, is: is, rate: rate, p50: millisecond, cpu: ofCPU(kind, us)}
}

func TestAMarkIsAsItsFormulaSays(t *testing.T) {
	get, latency := kept(result.Get, 0), kept(result.Latency, 3000)
	fresh, resumed := kept(result.FreshMTLS, 0), kept(result.FreshMTLSResumed, 0)
	steady := kept(result.Get, 3000)
	huge := steady.with(func(c *condition) { c.Data = 9e9 })
	for _, test := range []struct {
		name  string
		truth []truth
		value string
		state State
	}{
		{"service CPU per get", []truth{service(get, 100, 46), other(result.Handler, get.floor(), 100, "floor", 20), other(result.Driver, get, 100, "generator", 20)}, "1.15×", Held},
		{"service CPU per get", []truth{service(get, 100, 46.5), other(result.Handler, get.floor(), 100, "floor", 20), other(result.Driver, get, 100, "generator", 20)}, "1.16×", Missed},
		{"service CPU per get", []truth{service(get, 100, 40), other(result.Handler, get.floor(), 100, "floor", 20), other(result.Driver, get, 100, "generator", 20)}, "1.00×", Aimed},
		{"highest reads/s", []truth{service(get, 12_500, 40), other(result.Driver, get, 25_000, "generator", 20)}, "0.50×", Held},
		{"highest reads/s", []truth{service(get, 18_000, 40), other(result.Driver, get, 25_000, "generator", 20)}, "0.72×", Aimed},
		{"highest reads/s", []truth{service(get, 12_000, 40), other(result.Driver, get, 25_000, "generator", 20)}, "0.48×", Missed},
		{"p50 at 3,000 reads/s", []truth{service(latency, 3000, 40), other(result.Redis, latency.floor(), 3000, "redis", 9)}, "2.00×", Aimed},
		{"new TLS connections/s, mutual TLS", []truth{other(result.Memory, fresh.floor(), 850, "service", 40), other(result.Loop, fresh.floor(), 1000, "floor", 9)}, "0.85×", Held},
		{"new TLS connections/s, mutual TLS, Cassandra behind", []truth{service(fresh, 790, 40), other(result.Loop, fresh.floor(), 1000, "floor", 9)}, "0.79×", Missed},
		{"new TLS connections/s with resumption", []truth{other(result.Memory, fresh.floor(), 1000, "service", 40), other(result.Memory, resumed.floor(), 2000, "service", 40)}, "2.00×", Held},
		{"new TLS connections/s with resumption, Cassandra behind", []truth{service(fresh, 1000, 40), service(resumed, 1900, 40)}, "1.90×", Missed},
		{"service CPU per get, 9 GB against 10 MB", []truth{service(steady, 3000, 40), service(huge, 3000, 42)}, "1.05×", Aimed},
		{"service CPU per get, 9 GB against 10 MB", []truth{service(steady, 3000, 40), service(huge, 3000, 44)}, "1.10×", Missed},
		{"Cassandra CPU per get, 9 GB against 10 MB", []truth{service(steady, 3000, 40), service(huge, 3000, 40)}, "1.00×", Aimed},
		{"Cassandra CPU per get, 9 GB against 10 MB", []truth{service(get, 9000, 40), service(huge, 3000, 40)}, "–", NotMeasured},
	} {
		m := quiet()
		m.add(1, test.truth...)
		if got := markOf(t, &m.run, test.name); got.Value() != test.value || got.State != test.state {
			t.Errorf("%s: %s, %q; want %s, %q", test.name, got.Value(), got.State, test.value, test.state)
		}
	}
}

func TestAMarkIsTheMedianOfRoundsWithItsSpread(t *testing.T) {
	m, get := quiet(), kept(result.Get, 0)
	for round, rate := range []float64{11_000, 14_000, 10_000, 13_000, 12_000} {
		for _, s := range []truth{service(get, rate, 40), other(result.Driver, get, 20_000, "generator", 20)} {
			m.run.Samples = append(m.run.Samples, m.sample(round, s))
		}
	}
	got := markOf(t, &m.run, "highest reads/s")
	if got.Value() != "0.60× (0.50–0.70)" || got.Rounds() != "5 of 5" || got.State != Held {
		t.Errorf("%s, %s, %s", got.Value(), got.Rounds(), got.State)
	}
}

func TestWhatWasNotMeasuredIsSaidToBeSo(t *testing.T) {
	get, target := kept(result.Get, 0), kept(result.DesignTarget, 9100)
	alone := quiet()
	alone.add(3, service(get, 100, 40), service(target, 9100, 40))
	alone.run.Samples = alone.run.Samples[:1]
	nothing := newMaker(1, 0)
	zero := quiet() // all targets, and not one figure
	zero.run.Samples = []result.Sample{{Target: result.UserInfo, Workload: result.Latency, Mode: result.Open, Rate: 3000}, {Target: result.Redis, Workload: result.Latency}}
	for name, run := range map[string]*result.Run{"no samples": &nothing.run, "no partner": &alone.run} {
		for _, m := range Marks(run) {
			if m.State != NotMeasured || m.State.Words() != "not measured in this run" || m.Value() != none || m.Rounds() != none || m.Measured != (Spread{}) {
				t.Errorf("%s: %s is %q: %s, %s", name, m.Name, m.State, m.Value(), m.Rounds())
			}
		}
	}
	for name, run := range map[string]*result.Run{"no samples": &nothing.run, "no partner": &alone.run, "no figures": &zero.run} {
		for file, text := range write(t, run) {
			if strings.HasSuffix(file, ".png") {
				continue
			}
			for _, bad := range []string{"NaN", "Inf", "<no value>", "%!"} {
				if strings.Contains(text, bad) {
					t.Errorf("%s: %s has %s", name, file, bad)
				}
			}
		}
	}
}

func TestARunWithoutThisServiceHasNoMarksButTheStoresOwn(t *testing.T) {
	m, get := quiet(), kept(result.Get, 0)
	m.add(2, other("theirs", get, 12_000, result.KindService, 40), other(result.Redis, get, 60_000, result.KindRedis, 12))
	if all := Marks(&m.run); len(all) != 0 {
		t.Errorf("%v", all)
	}
	for name, text := range write(t, &m.run) {
		if !strings.HasSuffix(name, ".png") && (strings.Contains(text, "What must be shown") || !strings.Contains(text, "This service was not asked")) {
			t.Errorf("%s:\n%.600s", name, text)
		}
	}
	m.add(2, other("theirs", kept(result.DesignTarget, 9100), 9100, result.KindService, 40))
	if all := Marks(&m.run); len(all) != 1 || all[0].Name != "p99 at 9,000 reads/s and 100 writes/s, theirs" {
		t.Errorf("%v", all)
	}
}

func TestARoundThatLacksAPartnerGivesNoRatio(t *testing.T) {
	m, get := quiet(), kept(result.Get, 0)
	m.add(4, service(get, 12_000, 40), other(result.Driver, get, 20_000, "generator", 20))
	s := m.run.Samples
	m.run.Samples = append(slices.Clone(s[:5]), s[6:]...) // round 2 has lost its driver
	if got := markOf(t, &m.run, "highest reads/s"); got.Measured.N != 3 || got.Measured.Median != 0.6 {
		t.Errorf("%+v", got.Measured)
	}
}

func TestWhatWasNotMeasuredInTurnsIsNotCompared(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*condition)
	}{
		{"another number of connections", func(c *condition) { c.Connections = 10 }},
		{"another data set", func(c *condition) { c.Data = 1.4e9 }},
		{"another number of nodes", func(c *condition) { c.Nodes = 3 }},
		{"another mode", func(c *condition) { c.Mode, c.Rate = result.Open, 1000 }},
		{"other values", func(c *condition) { c.ValueBytes = 700 }},
		{"another workload", func(c *condition) { c.Workload = result.Misses }},
	} {
		m := quiet()
		m.add(2, service(kept(result.Get, 0), 12_000, 40), other(result.Driver, kept(result.Get, 0).with(test.change), 20_000, "generator", 20))
		if got := markOf(t, &m.run, "highest reads/s"); got.State != NotMeasured {
			t.Errorf("%s: %s", test.name, got.Value())
		}
	}
}

func TestAFloorIsOnlyComparedWithWhatItWasInTurnsWith(t *testing.T) {
	m, get := quiet(), kept(result.Get, 0)
	m.add(3, service(get, 12_000, 40), other(result.Handler, get.floor(), 48_000, "floor", 20))
	m.add(3, service(get.with(func(c *condition) { c.Data = 9e9 }), 6_000, 40)) // an hour later, with rounds of the same numbers
	w := workloadOf(result.Get, samplesOf(&m.run))
	if len(w.Ratios) != 1 || w.Ratios[0].Throughput != (Spread{3, 0.25, 0.25, 0.25}) {
		t.Errorf("%+v", w.Ratios)
	}
	if len(w.Rows) != 3 {
		t.Errorf("%d rows for userinfo with little and with much data, and the handler once", len(w.Rows))
	}
}

func TestOfTwoRunsInOneEachRoundHasItsOwnPartner(t *testing.T) {
	m, get := quiet(), kept(result.Get, 0)
	m.add(3, service(get, 12_000, 40), other(result.Driver, get, 24_000, "generator", 20))
	m.add(3, service(get, 10_000, 40), other(result.Driver, get, 20_000, "generator", 20)) // on a slower day
	if got := markOf(t, &m.run, "highest reads/s"); got.Measured != (Spread{6, 0.5, 0.5, 0.5}) {
		t.Errorf("%+v", got.Measured)
	}
}

func TestTheDesignTargetIsHeldOnlyWithoutAnError(t *testing.T) {
	const name = "p99 at 9,000 reads/s and 100 writes/s"
	is := kept(result.DesignTarget, 9100)
	for _, test := range []struct {
		name   string
		change func(*truth)
		state  State
		rounds string
	}{
		{"fast", func(*truth) {}, Aimed, "3 of 3"},
		{"slow", func(s *truth) { s.p50 = 50 * millisecond }, Held, "3 of 3"},
		{"one error", func(s *truth) { s.errors = map[string]int64{"503": 1} }, Missed, "0 of 3"},
		{"behind its rate", func(s *truth) { s.rate = 8900 }, Missed, "0 of 3"},
		{"a queue that is worked off when the schedule is over", func(s *truth) { s.queued = 100 }, Missed, "0 of 3"},
		{"no answer", func(s *truth) { s.rate = 0 }, Missed, "–"},
	} {
		m, s := quiet(), service(is, 9100, 40)
		test.change(&s)
		m.add(3, s)
		if got := markOf(t, &m.run, name); got.State != test.state || got.Rounds() != test.rounds {
			t.Errorf("%s: %s, %s, %s", test.name, got.State, got.Rounds(), got.Note)
		}
	}
}

func TestAServiceWithoutAnyAnswerHasMissed(t *testing.T) {
	m, get := quiet(), kept(result.Get, 0)
	m.add(2, service(get, 20_000, 40), other(result.Driver, get, 20_000, "generator", 20))
	s := &m.run.Samples[0]
	s.Done, s.Errors = 0, map[string]int64{"timeout": 40}
	got := markOf(t, &m.run, "highest reads/s")
	if got.State != Missed || !strings.Contains(got.Note, "1 round with errors, or with a queue that grew") || !strings.Contains(got.Note, "40 of") {
		t.Errorf("%s: %s", got.State, got.Note)
	}
}

func TestMemoryIsThatAtTheFewestConnectionsOfTenThousandAndMore(t *testing.T) {
	footprint := func(n int, rss int64) result.Footprint {
		return result.Footprint{Target: result.UserInfo, Connections: n, RSS: rss, Rest: 30e6}
	}
	for _, test := range []struct {
		all   []result.Footprint
		value string
		state State
	}{
		{nil, none, NotMeasured},
		{[]result.Footprint{footprint(9_999, 1)}, none, NotMeasured},
		{[]result.Footprint{footprint(20_000, 900e6), footprint(10_000, 240e6)}, "240 MB", Aimed},
		{[]result.Footprint{footprint(10_000, 400e6), footprint(10_000, 420e6)}, "410 MB (400–420)", Held},
		{[]result.Footprint{footprint(10_000, 600e6)}, "600 MB", Missed},
	} {
		got := markOf(t, &result.Run{Footprints: test.all}, "memory of the service at 10,000 idle connections")
		if got.Value() != test.value || got.State != test.state {
			t.Errorf("%v: %s, %s", test.all, got.Value(), got.State)
		}
	}
}

func TestSpreadsAndFigures(t *testing.T) {
	for got, want := range map[string]string{
		spreadOf(nil).Words():                  "–",
		spreadOf([]float64{2}).Words():         "2.00",
		spreadOf([]float64{3, 1}).Words():      "2.00 (1.00–3.00)",
		spreadOf([]float64{5, 1, 2}).Words():   "2.00 (1.00–5.00)",
		digits(0):                              "0.00",
		digits(0.0012):                         "0.001",
		digits(0.1):                            "0.10",
		digits(9.994):                          "9.99",
		digits(9.996):                          "10.0",
		digits(99.96):                          "100",
		digits(12345.6):                        "12,346",
		bytesOf(950):                           "950 B",
		bytesOf(1.4e9):                         "1.4 GB",
		bytesOf(10e6):                          "10 MB",
		bytesOf(999_999):                       "1 MB",
		bytesOf(300e6):                         "300 MB",
		fmt.Sprint(below(0.31), above(0.31)):   "0.2 0.5",
		fmt.Sprint(below(10), above(9)):        "5 10",
		fmt.Sprint(math.Round(10 * nines(.9))): "10",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
