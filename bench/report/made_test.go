package report

import (
	"math"
	"math/rand/v2"
	"time"

	"userinfo/bench/result"
)

// maker makes runs of which the truth is known: the same seed makes the same.
type maker struct {
	random *rand.Rand
	noise  float64 // of all figures from round to round, ±
	run    result.Run
}

func newMaker(seed uint64, noise float64) *maker {
	return &maker{random: rand.New(rand.NewPCG(seed, 5)), noise: noise, run: result.Run{
		Version: result.Version, Began: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC), Command: []string{"bench", "run", "all"},
		Environment: result.Environment{Commit: "70ee462+", Go: "go1.26.8", Kernel: "6.1.0", CPU: "two cores of something", Cores: 2, MemoryKB: 24 << 20,
			Cassandra: "5.0.6 tuned, heap 4096 MB", Redis: "7.0.15", Settings: map[string]string{"GOMAXPROCS": "2"}},
	}}
}

// wobble is 1 ± noise.
func (m *maker) wobble() float64 { return 1 + m.noise*(2*m.random.Float64()-1) }

// truth is what a target does under a condition, before noise.
type truth struct {
	target  string
	is      condition
	rate    float64 // answered per second
	p50     time.Duration
	tail    float64            // of the latency, σ of its logarithm
	cpu     map[string]float64 // µs a request, by kind
	errors  map[string]int64
	seconds int
	queued  int64 // of an open round, answered after its end
}

// add makes the rounds.
func (m *maker) add(rounds int, all ...truth) {
	for round := range rounds {
		for _, t := range all {
			m.run.Samples = append(m.run.Samples, m.sample(round, t))
		}
	}
}

// values is how many latencies stand for a second's.
const values = 1500

func (m *maker) sample(round int, t truth) result.Sample {
	c := t.is
	seconds := max(1, t.seconds)
	w := m.wobble()
	s := result.Sample{Target: t.target, Workload: c.Workload, Data: c.Data, Nodes: c.Nodes, Connections: c.Connections, Round: round, Mode: c.Mode,
		Rate: c.Rate, Began: m.run.Began.Add(time.Duration(len(m.run.Samples)) * 10 * time.Second), Seconds: float64(seconds), ValueBytes: c.ValueBytes,
		Errors: t.errors, Latency: result.NewHistogram(), Late: result.NewHistogram()}
	rate := t.rate
	if c.Mode == result.Closed {
		rate *= w
	}
	s.Done = int64(rate * float64(seconds))
	if c.Mode == result.Open {
		s.InTime = s.Done - t.queued
	}
	s.Sent, s.Received = 310*s.Done, int64(c.ValueBytes+260)*s.Done
	for range seconds {
		h := result.NewHistogram()
		if s.Done > 0 {
			for range values {
				d := time.Duration(float64(t.p50) * w * math.Exp(t.tail*m.random.NormFloat64()))
				if m.random.Float64() < 0.004 {
					d += time.Duration(8 * m.random.ExpFloat64() * float64(t.p50)) // a pause
				}
				h.Add(d)
				s.Latency.Add(d)
				s.Late.Add(40 * time.Microsecond)
			}
		}
		s.Series = append(s.Series, result.Second{Done: int64(rate), P50: h.At(0.5), P99: h.At(0.99), Max: h.At(1)})
	}
	if len(s.Series) > 3 && s.Errored() > 0 {
		s.Series[3].Errors = s.Errored()
	}
	for _, kind := range kinds {
		if us, ok := t.cpu[kind]; ok {
			s.Costs = append(s.Costs, result.Cost{Process: kind + "-1", Kind: kind, CPU: time.Duration(us * m.wobble() * float64(s.Done) * 1000),
				RSS: 60e6, Mallocs: 21 * s.Done, Alloc: 3000 * s.Done})
		}
	}
	return s
}

func ofCPU(kind string, us float64, more ...any) map[string]float64 {
	all := map[string]float64{kind: us}
	for i := 0; i < len(more); i += 2 {
		all[more[i].(string)] = more[i+1].(float64)
	}
	return all
}

// kept are 32 connections to one node with 10 MB of values.
func kept(workload string, rate float64) condition {
	c := condition{Workload: workload, Mode: result.Closed, Nodes: 1, Data: 10e6, Connections: 32, ValueBytes: 2048}
	if rate > 0 {
		c.Mode, c.Rate = result.Open, rate
	}
	return c
}

// floors leaves out what handler, loop and Redis have not.
func (c condition) floor() condition {
	c.Nodes, c.Data = 0, 0
	return c
}

func (c condition) with(change func(*condition)) condition {
	change(&c)
	return c
}

// plausible is a whole run, of the size and shape of a real one.
func plausible() *result.Run {
	m := newMaker(1, 0.04)
	ms := func(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }
	get := kept(result.Get, 0)
	m.add(5,
		truth{target: result.UserInfo, is: get, rate: 13100, p50: ms(2.1), tail: 0.35, seconds: 5, cpu: ofCPU("service", 50, "cassandra", 71.0, "generator", 17.0)},
		truth{target: result.Driver, is: get, rate: 24800, p50: ms(1.1), tail: 0.3, seconds: 5, cpu: ofCPU("cassandra", 55, "generator", 25.0)},
		truth{target: result.Handler, is: get.floor(), rate: 51000, p50: ms(0.5), tail: 0.4, seconds: 5, cpu: ofCPU("floor", 19, "generator", 16.0)},
		truth{target: result.Redis, is: get.floor(), rate: 61000, p50: ms(0.45), tail: 0.3, seconds: 5, cpu: ofCPU("redis", 12, "generator", 17.0)},
	)
	m.add(5, truth{target: result.UserInfo, is: kept(result.GetToken, 0), rate: 12800, p50: ms(2.2), tail: 0.35, seconds: 5, cpu: ofCPU("service", 53, "cassandra", 71.0, "generator", 17.0)})
	m.add(3, truth{target: result.UserInfo, is: kept(result.Set, 0), rate: 10100, p50: ms(2.8), tail: 0.4, seconds: 5, cpu: ofCPU("service", 61, "cassandra", 83.0, "generator", 18.0)})
	for _, rate := range []float64{1000, 2000, 4000, 6000, 8000, 10000, 12000, 14000} {
		slow := func(most float64) float64 { return 1 + 0.15*rate/most/max(0.02, 1-rate/most) }
		open := kept(result.Get, rate)
		m.add(3,
			truth{target: result.UserInfo, is: open, rate: min(rate, 12900), p50: ms(0.75 * slow(13500)), tail: 0.4, seconds: 5, cpu: ofCPU("service", 60, "cassandra", 80.0, "generator", 20.0)},
			truth{target: result.Driver, is: open, rate: rate, p50: ms(0.45 * slow(25000)), tail: 0.35, seconds: 5, cpu: ofCPU("cassandra", 60, "generator", 30.0)},
			truth{target: result.Redis, is: open.floor(), rate: rate, p50: ms(0.16 * slow(60000)), tail: 0.35, seconds: 5, cpu: ofCPU("redis", 14, "generator", 20.0)},
		)
	}
	target := kept(result.DesignTarget, 9100)
	m.add(5,
		truth{target: result.UserInfo, is: target, rate: 9100, p50: ms(1.3), tail: 0.6, seconds: 10, cpu: ofCPU("service", 52, "cassandra", 74.0, "generator", 19.0)},
		truth{target: result.Redis, is: target.floor(), rate: 9100, p50: ms(0.2), tail: 0.4, seconds: 10, cpu: ofCPU("redis", 13, "generator", 19.0)},
		truth{target: "https://kask.example.org:8081/sessions/v1/", is: target.floor(), rate: 7000, p50: ms(310), tail: 0.9, seconds: 10,
			errors: map[string]int64{"500": 31, "timeout": 4021}, cpu: ofCPU("generator", 30)},
	)
	m.add(5,
		truth{target: result.UserInfo, is: kept(result.Latency, 3000), rate: 3000, p50: ms(0.62), tail: 0.35, seconds: 5, cpu: ofCPU("service", 70, "cassandra", 95.0, "generator", 24.0)},
		truth{target: result.Redis, is: kept(result.Latency, 3000).floor(), rate: 3000, p50: ms(0.19), tail: 0.35, seconds: 5, cpu: ofCPU("redis", 16, "generator", 24.0)},
	)
	fresh := func(target, workload string, rate float64, cpu map[string]float64) truth {
		c := kept(workload, 0)
		if target == result.Loop || target == result.Memory {
			c = c.floor()
		}
		return truth{target: target, is: c, rate: rate, p50: time.Duration(32 / rate * float64(time.Second)), tail: 0.3, seconds: 5, cpu: cpu}
	}
	m.add(5,
		fresh(result.UserInfo, result.FreshMTLS, 1450, ofCPU("service", 520, "cassandra", 110.0, "generator", 560.0)),
		fresh(result.Memory, result.FreshMTLS, 1530, ofCPU("service", 500, "generator", 560.0)),
		fresh(result.Loop, result.FreshMTLS, 1700, ofCPU("floor", 440, "generator", 540.0)),
		fresh(result.Memory, result.FreshMTLSResumed, 4200, ofCPU("service", 180, "generator", 180.0)),
		fresh(result.UserInfo, result.FreshMTLSResumed, 3900, ofCPU("service", 190, "cassandra", 90.0, "generator", 180.0)),
		fresh(result.UserInfo, result.FreshToken, 2100, ofCPU("service", 330, "cassandra", 100.0, "generator", 300.0)),
		fresh(result.Sidecar, result.FreshSidecar, 8200, ofCPU("service", 55, "sidecar", 61.0, "cassandra", 76.0, "generator", 60.0)),
	)
	large := kept(result.Large, 0).with(func(c *condition) { c.ValueBytes = 100_000 })
	m.add(3, truth{target: result.UserInfo, is: large, rate: 2900, p50: ms(9), tail: 0.4, seconds: 5, cpu: ofCPU("service", 210, "cassandra", 330.0, "generator", 130.0)})
	for i, data := range []int64{10e6, 1.4e9, 9e9} {
		m.add(5, truth{target: result.UserInfo, is: kept(result.Get, 3000).with(func(c *condition) { c.Data = data }), rate: 3000, p50: ms(2.5), tail: 0.4, seconds: 5,
			cpu: ofCPU("service", 50.5, "cassandra", 79+12*float64(i), "generator", 17.0)})
	}
	for i, n := range []int{10, 100, 1000, 10000} {
		m.add(3, truth{target: result.UserInfo, is: get.with(func(c *condition) { c.Connections = n }), rate: 12000, p50: ms(float64(n) / 12), tail: 0.4, seconds: 5,
			cpu: ofCPU("service", 58-4*float64(i%3)+3*float64(i/3), "cassandra", 75.0, "generator", 18.0)})
		m.run.Footprints = append(m.run.Footprints, result.Footprint{Target: result.UserInfo, Connections: n, RSS: 31e6 + int64(n)*29_000, Rest: 31e6})
	}
	for _, n := range []int{3, 6} {
		m.add(3, truth{target: result.UserInfo, is: get.with(func(c *condition) { c.Nodes = n }), rate: 3000, p50: ms(10), tail: 0.5, seconds: 5,
			cpu: ofCPU("service", 61, "cassandra", 190+float64(n)*6, "generator", 19.0)})
	}
	return &m.run
}
