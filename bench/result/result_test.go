package result

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// behaviour is what a target does in a test: figures before noise.
type behaviour struct {
	target string
	rate   float64 // answers/s
	p50    time.Duration
	cpu    map[string]time.Duration // per request, by kind
	errors int64
}

var getCondition = Condition{Workload: Get, Mode: Closed, Nodes: 1, Data: 10e6, ValueBytes: 2048, Connections: 32}

// samples returns rounds of some targets in turns, with noise of ± the given share.
func samples(seed uint64, noise float64, c Condition, rounds int, all ...behaviour) (list []Sample) {
	random := rand.New(rand.NewPCG(seed, 5))
	wobble := func() float64 { return 1 + noise*(2*random.Float64()-1) }
	for round := range rounds {
		for _, b := range all {
			s := Sample{Condition: c, Target: b.target, Round: round, Seconds: 1, Errors: map[string]int64{}, Late: NewHistogram(), Latency: NewHistogram()}
			s.Done = int64(b.rate * wobble())
			s.InTime = s.Done
			slower := wobble()
			for i := range 1000 {
				s.Latency.Add(time.Duration(float64(b.p50) * slower * (0.5 + float64(i)/1000)))
			}
			for _, kind := range Kinds {
				each, used := b.cpu[kind]
				if !used {
					continue
				}
				s.Costs = append(s.Costs, Cost{Kind: kind, CPU: time.Duration(float64(each)*wobble()) * time.Duration(s.Done), RSS: 50e6})
			}
			if b.errors > 0 {
				s.Errors["503"] = b.errors
			}
			list = append(list, s)
		}
	}
	return list
}

// service returns the behaviour of the service: µs is its CPU time per request.
func service(us float64) behaviour {
	own := time.Duration(us * float64(time.Microsecond))
	return behaviour{UserInfo, 500_000 / us, 20 * own, map[string]time.Duration{KindService: own, KindCassandra: 100 * time.Microsecond, KindGenerator: 30 * time.Microsecond}, 0}
}

func TestRun_WriteAndRead(t *testing.T) {
	dir := t.TempDir()
	run := New([]string{"run", "get"}, map[string]string{"CPU": "x"})
	run.Samples = samples(1, 0.02, getCondition, 2, service(50))
	if Exists(dir) {
		t.Error("an empty directory has a run")
	}
	if err := run.Write(dir); err != nil || !Exists(dir) {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got.Samples {
		if a, b := got.Samples[i].Latency, run.Samples[i].Latency; a.At(.5) != b.At(.5) || a.TotalCount() != b.TotalCount() {
			t.Errorf("latency of sample %d is another: %v, %v", i, a.At(.5), b.At(.5))
		}
		got.Samples[i].Latency, got.Samples[i].Late = run.Samples[i].Latency, run.Samples[i].Late
	}
	if !reflect.DeepEqual(got, run) {
		t.Errorf("wrote %+v\nread %+v", run, got)
	}
}

func TestRead_MergesRuns(t *testing.T) {
	one, three := t.TempDir(), t.TempDir()
	a, b := New([]string{"run", "get"}, map[string]string{"CPU": "x", "nodes": "1"}), New([]string{"grow"}, map[string]string{"CPU": "x", "nodes": "3"})
	a.Samples, b.Samples = samples(1, 0, getCondition, 2, service(50)), samples(1, 0, getCondition, 2, service(60))
	for dir, r := range map[string]*Run{one: a, three: b} {
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Read(one, three)
	if err != nil || len(r.Samples) != 4 || r.Samples[2].Round == r.Samples[0].Round {
		t.Fatalf("%d samples (%v)", len(r.Samples), err)
	}
	if got := strings.Join(r.Command, " "); got != "run get ; grow" || r.Environment["nodes"] != "1; 3" || r.Environment["CPU"] != "x" {
		t.Errorf("command %q, environment %v", got, r.Environment)
	}
}

func TestRead_RejectsOtherFormat(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{`{"Version": 2}`: "has format 2", `[]`: "should be a run", `{"Version": 3, "Samples": [{"Late": "x"}]}`: "histogram"} {
		if err := os.WriteFile(filepath.Join(dir, fileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q in it", text, err, want)
		}
	}
}

func TestSample_Throughput(t *testing.T) {
	s := Sample{Seconds: 2, Done: 100, InTime: 60}
	if s.Mode = Closed; s.Throughput() != 50 {
		t.Errorf("closed: %v", s.Throughput())
	}
	if s.Mode = Open; s.Throughput() != 30 {
		t.Errorf("open, with a queue at the end: %v", s.Throughput())
	}
}

func TestSample_CPU(t *testing.T) {
	s := Sample{Target: Sidecar, Done: 10, Costs: []Cost{{Kind: KindService, CPU: 100}, {Kind: KindSidecar, CPU: 50}, {Kind: KindCassandra, CPU: 200},
		{Kind: KindCassandra, CPU: 400}, {Kind: KindGenerator, CPU: 70}}}
	if s.CPU(KindCassandra) != 60 || s.CPU(KindRedis) != 0 || s.OwnCPU() != 15 {
		t.Errorf("Cassandra %v, own %v", s.CPU(KindCassandra), s.OwnCPU())
	}
	if s.Target = Driver; s.OwnCPU() != 7 {
		t.Errorf("the driver's own CPU is %v", s.OwnCPU())
	}
	if s.Done = 0; s.CPU(KindService) != 100 {
		t.Errorf("without an answer: %v", s.CPU(KindService))
	}
}

func TestSample_KeepsRate(t *testing.T) {
	for name, c := range map[string]struct {
		sample Sample
		want   bool
	}{
		"nothing":             {Sample{}, false},
		"closed":              {Sample{Condition: Condition{Mode: Closed}, Done: 1}, true},
		"an error":            {Sample{Condition: Condition{Mode: Closed}, Done: 1000, Errors: map[string]int64{"503": 1}}, false},
		"open":                {Sample{Condition: Condition{Mode: Open}, Done: 1000, InTime: 990}, true},
		"a queue at the end":  {Sample{Condition: Condition{Mode: Open}, Done: 1000, InTime: 989}, false},
		"open without answer": {Sample{Condition: Condition{Mode: Open}}, false},
	} {
		if got := c.sample.KeepsRate(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestHistogram_StaysWithinLimits(t *testing.T) {
	h := NewHistogram()
	for _, d := range []time.Duration{-1, 0, time.Hour} {
		h.Add(d)
	}
	if h.TotalCount() != 3 || h.At(0) != time.Microsecond || h.At(1) < 59*time.Second || (Histogram{}).At(.5) != 0 {
		t.Errorf("%d values from %v to %v", h.TotalCount(), h.At(0), h.At(1))
	}
}
