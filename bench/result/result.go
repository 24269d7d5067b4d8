// Package result is what a benchmark has measured: how it is kept in a file, reported and compared.
//
//	Run ─┬─ Environment   the machine and the software
//	     └─ Sample        one target, one workload, one round of a few seconds
//
// Invariants:
//
//  1. A sample holds counts and histograms, never a ratio or a mean. Histograms are merged, percentiles never.
//  2. Latency counts from the time at which a request was due (open loop) or sent (closed loop).
//  3. Ratios are made per round, of samples that ran in turns in one run, and the report shows their median and range.
//  4. A report shows errors, and a round that fell behind its rate. It leaves no round out.
package result

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Targets that the benchmark starts itself. A store that is given by its URL has a name of its own.
const (
	UserInfo = "userinfo"        // the service on Cassandra
	Memory   = "userinfo-memory" // the service on its memory store
	Sidecar  = "sidecar"         // the service behind a local haproxy that keeps connections to it
	Handler  = "handler"         // baseline: net/http answers 2 KB from memory under the same TLS
	Loop     = "loop"            // baseline: accept, handshake, 2 KB, without net/http
	Driver   = "driver"          // baseline: gocql on the same Cassandra table, in the benchmark's own process
	Redis    = "redis"           // redis-server with TLS
)

// Targets lists them, in the order of tables.
var Targets = []string{UserInfo, Memory, Sidecar, Driver, Handler, Loop, Redis}

// Kinds of processes whose CPU time is counted.
const (
	KindService   = "service"
	KindCassandra = "cassandra" // all nodes together
	KindRedis     = "redis"
	KindSidecar   = "sidecar"
	KindBaseline  = "baseline"  // handler and loop
	KindGenerator = "generator" // this benchmark; for the target driver, the driver too
)

// Kinds lists them, in the order of tables.
var Kinds = []string{KindService, KindSidecar, KindBaseline, KindRedis, KindCassandra, KindGenerator}

// version is the version of the file format.
const version = 3

// fileName is the name of the file in the directory of a run.
const fileName = "run.json"

// Run is everything that one call of the benchmark has measured.
type Run struct {
	Version     int
	Began       time.Time
	Command     []string
	Environment map[string]string // commit, CPU, Cassandra's version and settings, …
	Samples     []Sample
}

// New returns an empty run that begins now.
func New(command []string, environment map[string]string) *Run {
	return &Run{Version: version, Began: time.Now().UTC(), Command: command, Environment: environment}
}

// Mode is how requests are sent.
type Mode string

const (
	Open   Mode = "open"   // on a schedule, whatever the answers are
	Closed Mode = "closed" // each connection sends its next request when it has an answer
)

// Condition is everything that two samples must have in common to be compared.
type Condition struct {
	Workload    string
	Mode        Mode
	Rate        float64 // planned requests/s; 0 if the loop is closed
	Nodes       int     // Cassandra nodes in the run; 0: no cluster
	Data        int64   // bytes of values in the data set
	ValueBytes  int     // size of one value
	Connections int
}

// Sample is one round of one workload on one target.
type Sample struct {
	Condition
	Target  string
	Round   int // from 0; samples with the same number ran in turns
	Began   time.Time
	Seconds float64 // that were counted

	Done    int64            // requests that were answered correctly
	InTime  int64            // of Done in an open loop: answered before the schedule ended, or less than Grace later
	Errors  map[string]int64 // other requests, by reason: a status, timeout, connection, …
	Late    Histogram        // delay that the generator itself caused; open loop only
	Latency Histogram        // of Done
	Costs   []Cost
}

// Cost is what one process used during a sample.
type Cost struct {
	Kind string
	CPU  time.Duration // user and system time
	RSS  int64         // bytes at the end of the sample
}

// Grace is how long after the end of a schedule an answer is still in time.
const Grace = 100 * time.Millisecond

// ErrorCount returns the number of requests that failed.
func (s *Sample) ErrorCount() (n int64) {
	for _, count := range s.Errors {
		n += count
	}
	return n
}

// Throughput returns correct answers per second. In an open loop, answers that came after the end of the schedule do not
// count: working off a queue is not throughput.
func (s *Sample) Throughput() float64 {
	if s.Mode == Open {
		return float64(s.InTime) / s.Seconds
	}
	return float64(s.Done) / s.Seconds
}

// CPU returns the CPU time per correct answer of all processes of a kind. It returns 0 if there are none.
func (s *Sample) CPU(kind string) time.Duration {
	var sum time.Duration
	for _, c := range s.Costs {
		if c.Kind == kind {
			sum += c.CPU
		}
	}
	return sum / time.Duration(max(1, s.Done))
}

// OwnCPU returns the CPU time per correct answer of the target itself, without Cassandra and the generator. The bare driver
// runs in the generator, so its own CPU time includes the generator's.
func (s *Sample) OwnCPU() (sum time.Duration) {
	if s.Target == Driver {
		return s.CPU(KindGenerator)
	}
	for _, kind := range Kinds {
		if kind != KindCassandra && kind != KindGenerator {
			sum += s.CPU(kind)
		}
	}
	return sum
}

// KeepsRate reports whether a sample had no error and, in an open loop, whether at least 99 % of the requests were answered
// in time. It fails closed: a sample without an answer does not keep its rate.
func (s *Sample) KeepsRate() bool {
	return s.Done > 0 && s.ErrorCount() == 0 && (s.Mode != Open || float64(s.InTime) >= 0.99*float64(s.Done))
}

// Histogram counts durations from 1 µs to one minute with three significant digits. Use NewHistogram.
type Histogram struct{ *hdrhistogram.Histogram }

// NewHistogram returns an empty histogram.
func NewHistogram() Histogram {
	return Histogram{hdrhistogram.New(1, time.Minute.Microseconds(), 3)}
}

// Add counts a duration.
func (h Histogram) Add(d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), time.Minute.Microseconds())) // cannot fail within these limits
}

// At returns the quantile q, from 0 to 1: At(0.99) is p99. It returns 0 if the histogram is empty.
func (h Histogram) At(q float64) time.Duration {
	if h.Histogram == nil {
		return 0
	}
	return time.Duration(h.ValueAtQuantile(q*100)) * time.Microsecond
}

// MarshalJSON returns HdrHistogram's compressed form (version 2, base64).
func (h Histogram) MarshalJSON() ([]byte, error) {
	if h.Histogram == nil {
		return []byte("null"), nil
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(text))
}

// UnmarshalJSON reads what MarshalJSON returns.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil || text == nil {
		*h = Histogram{}
		return err
	}
	decoded, err := hdrhistogram.Decode([]byte(*text))
	if err != nil {
		return fmt.Errorf("reading a histogram: %w", err)
	}
	*h = Histogram{decoded}
	return nil
}

// Write writes the run into a directory.
func (r *Run) Write(dir string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fileName), append(text, '\n'), 0o644)
}

// Exists reports whether a directory has a run.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, fileName))
	return err == nil
}

// Read reads the runs in some directories, and merges them into one. The first one's time, and all environments, are kept.
func Read(dirs ...string) (*Run, error) {
	var all *Run
	for i, dir := range dirs {
		r, err := readFile(filepath.Join(dir, fileName))
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = r
			continue
		}
		for j := range r.Samples {
			r.Samples[j].Round += i * 1000 // not in turns with the other runs
		}
		all.Samples = append(all.Samples, r.Samples...)
		all.Command = append(append(all.Command, ";"), r.Command...)
		for name, value := range r.Environment {
			if old := all.Environment[name]; old != value {
				all.Environment[name] = old + "; " + value
			}
		}
	}
	return all, nil
}

func readFile(file string) (*Run, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Run
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("reading %s, which should be a run of this benchmark: %w", file, err)
	}
	if r.Version != version {
		return nil, fmt.Errorf("%s has format %d, and this program reads %d: run the benchmark again", file, r.Version, version)
	}
	return &r, nil
}

// group is all rounds of one target under one condition.
type group struct {
	Condition
	target  string
	samples []*Sample
}

// groups sorts the samples of a run into groups: by condition, then in the order of targets.
func groups(samples []Sample) (all []group) {
	for i := range samples {
		s := &samples[i]
		at := slices.IndexFunc(all, func(g group) bool { return g.Condition == s.Condition && g.target == s.Target })
		if at < 0 {
			at = len(all)
			all = append(all, group{Condition: s.Condition, target: s.Target})
		}
		all[at].samples = append(all[at].samples, s)
	}
	first := make(map[string]int) // workloads stay in the order in which they ran
	for i, g := range all {
		if _, seen := first[g.Workload]; !seen {
			first[g.Workload] = i
		}
	}
	slices.SortStableFunc(all, func(a, b group) int {
		return cmp.Or(cmp.Compare(first[a.Workload], first[b.Workload]), cmp.Compare(a.Mode, b.Mode), cmp.Compare(a.Nodes, b.Nodes),
			cmp.Compare(a.Rate, b.Rate), cmp.Compare(a.Data, b.Data), cmp.Compare(a.Connections, b.Connections),
			cmp.Compare(a.ValueBytes, b.ValueBytes))
	})
	return all
}
