// Package result is what a benchmark has measured, as it is kept in a file: samples, and where they were taken.
//
//	Run ─┬─ Environment
//	     ├─ Sample      one target, one workload, one short round
//	     └─ Footprint   memory of one target with so many idle connections
//
// Invariants: a sample holds what was counted, never a ratio or a mean of samples; latencies count from when a request was
// due; what warmed up is not in it. Reports are made from runs alone, so that any report can be made again.
package result

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Version is of the file's format.
const Version = 2

// Run is one call of the benchmark.
type Run struct {
	Version     int
	Began       time.Time
	Command     []string // as it was called
	Environment Environment
	Samples     []Sample
	Footprints  []Footprint
}

// Environment is where a run was made.
type Environment struct {
	Commit    string // of the program, with + where the tree had changes; empty where it is not known
	Go        string
	Kernel    string
	CPU       string
	Cores     int
	MemoryKB  int64
	Cassandra string            // version and settings that matter, such as 5.0.6 tuned heap 4096 MB
	Redis     string            // version
	Settings  map[string]string // further: GOMAXPROCS, GOGC, …
}

// Mode is how requests are sent.
type Mode string

// The modes. Open: on a schedule, whatever the answers do. Closed: each connection sends its next request once it has an
// answer, which finds the highest rate and says nothing of latency at any other.
const (
	Open   Mode = "open"
	Closed Mode = "closed"
)

// Sample is one round of one workload on one target.
type Sample struct {
	Target      string // such as userinfo
	Workload    string // such as target; with its variant: fresh/mtls
	Data        int64  // bytes of values in the data set
	Nodes       int    // of Cassandra behind it; 0 where there is none, or it is not known
	Connections int
	Round       int // from 0; rounds of one number were run in turns with each other
	Mode        Mode
	Rate        float64 // requests/s that were planned; 0 in mode Closed
	Began       time.Time
	Seconds     float64 // that were counted
	ValueBytes  int

	Done     int64            // requests that were answered as they should be, misses included
	InTime   int64            // of Done, in Open: answered before the schedule was over, or Grace later
	Errors   map[string]int64 // what was not, by reason: a status, timeout, connection, …
	Late     Histogram        // how long after they were due requests were sent: the generator's own lateness, in Open
	Latency  Histogram        // of Done, from when the request was due (Open) or sent (Closed)
	Series   []Second         // in the order of time
	Sent     int64            // bytes on the wire from the generator, TLS and handshakes included
	Received int64
	Costs    []Cost
}

// Second is one second of a sample.
type Second struct {
	Done, Errors  int64
	P50, P99, Max time.Duration
}

// Cost is what one process used during a sample.
type Cost struct {
	Process string // service, cassandra, redis, generator, sidecar, floor: several of a kind are told apart by -1, -2
	Kind    string // the same without number
	CPU     time.Duration
	RSS     int64 // bytes at its end
	Mallocs int64 // heap objects allocated; 0 where not known
	Alloc   int64 // bytes of them
}

// Footprint is a target's memory.
type Footprint struct {
	Target      string
	Connections int   // kept, idle
	RSS         int64 // bytes
	Rest        int64 // bytes of RSS before there were connections
}

// Errored is the number of errors.
func (s *Sample) Errored() (n int64) {
	for _, count := range s.Errors {
		n += count
	}
	return n
}

// Grace is how long after a schedule's end an answer is still in time.
const Grace = 100 * time.Millisecond

// Throughput is requests answered per second. In Open, a queue that is worked off when the schedule is over does not count.
func (s *Sample) Throughput() float64 {
	if s.Mode == Open {
		return float64(s.InTime) / s.Seconds
	}
	return float64(s.Done) / s.Seconds
}

// CPU is CPU time per answered request of all processes of a kind; 0 where there is none.
func (s *Sample) CPU(kind string) time.Duration {
	var sum time.Duration
	for _, c := range s.Costs {
		if c.Kind == kind {
			sum += c.CPU
		}
	}
	if s.Done == 0 {
		return 0
	}
	return sum / time.Duration(s.Done)
}

// Histogram is of durations from 1 µs to a minute, exact to three digits. The zero value cannot be used: see NewHistogram.
type Histogram struct{ *hdrhistogram.Histogram }

// NewHistogram makes an empty one. It counts microseconds.
func NewHistogram() Histogram {
	return Histogram{hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)}
}

// Add counts one duration; what is longer than a minute counts as a minute.
func (h Histogram) Add(d time.Duration) {
	_ = h.RecordValue(min(max(int64(d/time.Microsecond), 1), int64(time.Minute/time.Microsecond))) // within its bounds
}

// At is the quantile q, from 0 to 1: 0.99 for p99.
func (h Histogram) At(q float64) time.Duration {
	if h.Histogram == nil {
		return 0
	}
	return time.Duration(h.ValueAtQuantile(q*100)) * time.Microsecond
}

// MarshalJSON is HdrHistogram's compressed form (V2, base64).
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

// UnmarshalJSON reads what MarshalJSON has written.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	if text == nil {
		*h = Histogram{}
		return nil
	}
	decoded, err := hdrhistogram.Decode([]byte(*text))
	if err != nil {
		return fmt.Errorf("reading a histogram: %w", err)
	}
	*h = Histogram{decoded}
	return nil
}

// Write keeps r in a file.
func (r *Run) Write(file string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// Read is what Write has written.
func Read(file string) (*Run, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Run
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s is no result of this benchmark: %w", file, err)
	}
	if r.Version != Version {
		return nil, fmt.Errorf("%s is of format %d, and this program reads %d: run the benchmark again", file, r.Version, Version)
	}
	return &r, nil
}
