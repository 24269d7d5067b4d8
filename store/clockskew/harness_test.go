package clockskew

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var errNoAnswer = errors.New("nobody answers")

// fakeTable is a Table in memory. Tests run in synctest's bubbles, so time.Now is the true time.
type fakeTable struct {
	mu         sync.Mutex
	clocks     map[string]time.Duration // how far the clocks of nodes are ahead
	latency    time.Duration            // of each statement, half of it on the way there
	down       bool                     // nothing answers
	heartbeats map[string]storedHeartbeat
}

var _ Table = (*fakeTable)(nil)

type storedHeartbeat struct {
	Heartbeat
	timestamp int64
	expires   time.Time
}

func newFakeTable(nodes map[string]time.Duration) *fakeTable {
	return &fakeTable{clocks: nodes, latency: 2 * time.Millisecond, heartbeats: make(map[string]storedHeartbeat)}
}

// threeNodes returns three nodes with correct clocks.
func threeNodes() map[string]time.Duration {
	return map[string]time.Duration{"10.0.0.1": 0, "10.0.0.2": 0, "10.0.0.3": 0}
}

// change changes the table while monitors use it.
func (f *fakeTable) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// statement takes the latency and calls do in the middle of it.
func (f *fakeTable) statement(ctx context.Context, do func()) error {
	var half time.Duration
	down := false
	f.change(func() { half, down = f.latency/2, f.down })
	if down {
		<-ctx.Done()
		return errNoAnswer
	}
	time.Sleep(half)
	f.change(do)
	time.Sleep(half)
	return ctx.Err()
}

func (f *fakeTable) Nodes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.clocks))
}

func (f *fakeTable) NodeTime(ctx context.Context, node string) (t time.Time, err error) {
	err = f.statement(ctx, func() { t = time.Now().Add(f.clocks[node]) })
	return t, err
}

func (f *fakeTable) WriteHeartbeat(ctx context.Context, h Heartbeat, timestamp int64, ttl time.Duration) error {
	h.Offsets = maps.Clone(h.Offsets)
	return f.statement(ctx, func() {
		if timestamp > f.heartbeats[h.Instance].timestamp {
			f.heartbeats[h.Instance] = storedHeartbeat{h, timestamp, time.Now().Add(ttl)}
		}
	})
}

func (f *fakeTable) Heartbeats(ctx context.Context) (all []Heartbeat, err error) {
	err = f.statement(ctx, func() {
		for _, h := range f.heartbeats {
			if time.Now().Before(h.expires) {
				all = append(all, h.Heartbeat)
			}
		}
	})
	return all, err
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// instance is an instance with a running Monitor and a clock that can be set.
type instance struct {
	*testing.T
	registry *prometheus.Registry
	log      *syncBuffer
	mu       sync.Mutex
	ahead    time.Duration
	stop     func()
}

func (i *instance) now() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return time.Now().Add(i.ahead)
}

func (i *instance) setClock(ahead time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ahead = ahead
}

// start runs the Monitor of an instance until the test ends, or stop is called.
func start(t *testing.T, table Table, datacentre, name string, ahead time.Duration) *instance {
	i := &instance{T: t, registry: prometheus.NewRegistry(), log: &syncBuffer{}, ahead: ahead}
	random := rand.New(rand.NewPCG(7, uint64(len(name))+uint64(name[0]))) // the same in every run
	m := NewMonitor(Config{
		Instance: name, Datacentre: datacentre, Table: table, Now: i.now, Random: random.IntN,
		Log: slog.New(slog.NewTextHandler(i.log, nil)), Metrics: NewMetrics(i.registry),
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.Run(ctx) })
	i.stop = func() { cancel(); running.Wait() }
	t.Cleanup(i.stop)
	return i
}

// metric returns the values of a metric by its labels, such as "cassandra 10.0.0.1".
func (i *instance) metric(name string) map[string]time.Duration {
	i.Helper()
	families, err := i.registry.Gather()
	if err != nil {
		i.Fatal(err)
	}
	found := make(map[string]time.Duration)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				clock := m.GetLabel()[0].GetValue() + " " + m.GetLabel()[1].GetValue()
				found[clock] = time.Duration(m.GetGauge().GetValue() * float64(time.Second))
			}
		}
	}
	return found
}

// wantSkews checks that exactly these clocks are compared, that their skews are right within the published error, and
// that the error is small enough to notice 100 ms.
func (i *instance) wantSkews(when string, want map[string]time.Duration) {
	i.Helper()
	got, maxErrors := i.metric("userinfo_clock_skew_seconds"), i.metric("userinfo_clock_skew_error_seconds")
	if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) || len(maxErrors) != len(got) {
		i.Errorf("%s: compared with %v (±%v), want %v", when, got, maxErrors, want)
		return
	}
	for clock, ahead := range want {
		if maxError := maxErrors[clock]; (got[clock]-ahead).Abs() > maxError || maxError > 150*time.Millisecond {
			i.Errorf("%s: %s is ahead by %v ± %v, want %v", when, clock, got[clock], maxError, ahead)
		}
	}
}

// wantLogged checks how often a text is in the log.
func (i *instance) wantLogged(when, text string, times int) {
	i.Helper()
	if got := strings.Count(i.log.String(), text); got != times {
		i.Errorf("%s: logged %q %d times, want %d:\n%s", when, text, got, times, i.log)
	}
}

// Texts of log messages.
const (
	logWrong       = "clocks are wrong by 100 ms or more"
	logNoMajority  = "there is no majority"
	logAgree       = "clocks agree again"
	logCannotCheck = "cannot compare clocks"
)

// settleTime is long enough for all instances to have exchanged heartbeats and reported.
const settleTime = time.Minute
