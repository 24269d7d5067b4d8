package coordinator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// reply is how a node answers: after a time, with an error or with its own ID.
type reply struct {
	after time.Duration
	err   error
}

var (
	errDown = errors.New("connection refused")
	never   = reply{after: time.Hour}
	quick   = reply{after: time.Millisecond}
	fails   = reply{after: time.Millisecond, err: errDown}
)

// fakeHosts replaces routing. It returns its hosts in a fixed order.
type fakeHosts struct {
	gocql.HostSelectionPolicy
	hosts  []*gocql.HostInfo
	rotate *atomic.Int64 // if set, each attempt begins with the next host
}

func (f *fakeHosts) AddHost(*gocql.HostInfo)    {}
func (f *fakeHosts) RemoveHost(*gocql.HostInfo) {}
func (f *fakeHosts) HostUp(*gocql.HostInfo)     {}
func (f *fakeHosts) HostDown(*gocql.HostInfo)   {}

func (f *fakeHosts) Pick(gocql.ExecutableQuery) gocql.NextHost {
	left := f.hosts
	if f.rotate != nil {
		n := int(f.rotate.Add(1)) % len(left)
		left = append(slices.Clone(left[n:]), left[:n]...)
	}
	return func() gocql.SelectedHost {
		if len(left) == 0 {
			return nil
		}
		h := left[0]
		left = left[1:]
		return fakeHost{h}
	}
}

type fakeHost struct{ host *gocql.HostInfo }

func (h fakeHost) Info() *gocql.HostInfo { return h.host }
func (h fakeHost) Mark(error)            {}

// fakeQuery has what Pick needs of a query: its context.
type fakeQuery struct {
	gocql.ExecutableQuery
	ctx context.Context
}

func (q fakeQuery) Context() context.Context { return q.ctx }

// fakeCluster is a Runner with three nodes, a, b and c, which the driver's policy offers in this order.
type fakeCluster struct {
	*Runner
	hosts *fakeHosts

	mu      sync.Mutex
	replies map[string]reply
	asked   []string
	running atomic.Int64 // attempts
}

func newFakeCluster(replies map[string]reply) *fakeCluster {
	r := NewRunner(time.Now, NewMetrics(prometheus.NewRegistry()), nil)
	hosts := &fakeHosts{}
	r.nodes.HostSelectionPolicy = hosts
	for _, id := range []string{"a", "b", "c"} {
		h := &gocql.HostInfo{}
		h.SetHostID(id)
		hosts.hosts = append(hosts.hosts, h)
		r.nodes.AddHost(h)
	}
	return &fakeCluster{Runner: r, hosts: hosts, replies: replies}
}

// newReadCluster returns a cluster whose nodes answer after usual, and whose hedge delay comes from observeReads.
func newReadCluster(usual, rare time.Duration) *fakeCluster {
	c := newFakeCluster(map[string]reply{"a": {after: usual}, "b": {after: usual}, "c": {after: usual}})
	observeReads(&c.delays[Read], usual, rare)
	return c
}

// observeReads observes 10,000 reads: one in 33 takes rare, also the last one, the others take usual.
func observeReads(d *hedgeDelay, usual, rare time.Duration) {
	for n := range 10_000 {
		if n%33 == 0 {
			d.observe(Read, rare)
		} else {
			d.observe(Read, usual)
		}
	}
}

// usualReads is newReadCluster with a hedge delay of about 20 ms.
func usualReads() *fakeCluster {
	return newReadCluster(10*time.Millisecond, 20*time.Millisecond)
}

// statement asks the node that Pick chooses, and returns the node's ID.
func (c *fakeCluster) statement(ctx context.Context) (string, error) {
	id := c.HostPolicy().Pick(fakeQuery{ctx: ctx})().Info().HostID()
	c.mu.Lock()
	c.asked = append(c.asked, id)
	r := c.replies[id]
	c.mu.Unlock()
	c.running.Add(1)
	defer c.running.Add(-1)
	// Not time.After: with the race detector, Go 1.26 crashes if two goroutines of a synctest bubble select expired timers at the
	// same time.
	done, cancel := context.WithTimeout(ctx, r.after)
	defer cancel()
	<-done.Done()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return id, r.err
}

// run makes one call with a time limit.
func (c *fakeCluster) run(p CallPolicy, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return Run(ctx, c.Runner, p, c.statement)
}

// read makes one read that node want must answer, and returns which nodes it asked.
func (c *fakeCluster) read(t *testing.T, want string) (asked []string) {
	t.Helper()
	if got, err := c.run(CallPolicy{Kind: Read}, time.Minute); got != want || err != nil {
		t.Fatalf("got an answer from %q and error %v, want an answer from %q", got, err, want)
	}
	return c.takeAsked()
}

// takeAsked returns which nodes were asked since the last call of takeAsked.
func (c *fakeCluster) takeAsked() []string {
	synctest.Wait() // an attempt of the last call may be about to write its node's name
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

// set changes how a node answers.
func (c *fakeCluster) set(id string, r reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replies[id] = r
}

// failures returns how many failures in a row the breaker of a node has counted.
func (c *fakeCluster) failures(id string) int { return int(c.nodes.node(id).breaker.failures.Load()) }

func (c *fakeCluster) wantFailures(t *testing.T, id string, want int) {
	t.Helper()
	if got := c.failures(id); got != want {
		t.Errorf("the breaker of %s has counted %d failures, want %d", id, got, want)
	}
}

// wantNothingRunning checks that no attempt still runs.
func (c *fakeCluster) wantNothingRunning(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if n := c.running.Load(); n != 0 {
		t.Errorf("%d attempts still run", n)
	}
}

func (c *fakeCluster) wantHedges(t *testing.T, sent, won float64) {
	t.Helper()
	if gotSent, gotWon := testutil.ToFloat64(c.metrics.hedges), testutil.ToFloat64(c.metrics.hedgesWon); gotSent != sent || gotWon != won {
		t.Errorf("counted %v hedged attempts, of which %v won, want %v and %v", gotSent, gotWon, sent, won)
	}
}

func wantAsked(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
}

func wantDuration(t *testing.T, since time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(since); got != want {
		t.Errorf("took %v, want %v", got, want)
	}
}

// codeError is an error response of Cassandra's with this code.
type codeError int

func (c codeError) Code() int       { return int(c) }
func (c codeError) Message() string { return "no" }
func (c codeError) Error() string   { return "no" }
