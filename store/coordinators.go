package store

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
)

// A coordinator that fails breakerFailures times in a row is asked only after the others, but for one probe
// every breakerRest.
const (
	breakerFailures = 3
	breakerRest     = time.Second
)

// coordinators choose which local node to ask: the driver's token-aware order, with the nodes that have been
// failing, and those that this operation has asked already, put last. No node is ever left out: when all are
// suspect, all are asked.
type coordinators struct {
	gocql.HostSelectionPolicy // token-aware, the local datacentre only
	now                       func() time.Time
	metrics                   *CassandraMetrics

	mu  sync.Mutex                 // guards up
	up  map[string]*gocql.HostInfo // by id
	ups atomic.Int64               // how many

	health sync.Map // host id → *health
}

// health is a node's breaker, the same one for as long as the program runs. All fields are read and written atomically.
type health struct {
	failures atomic.Int32 // in a row
	until    atomic.Int64 // when the next probe is due, ns since 1970
}

func newCoordinators(localDatacentre string, now func() time.Time, m *CassandraMetrics) *coordinators {
	return &coordinators{
		// Falling back to remote nodes would change what LOCAL_QUORUM means; the session's host filter keeps them out
		// of the ring altogether.
		HostSelectionPolicy: gocql.TokenAwareHostPolicy(gocql.DCAwareRoundRobinPolicy(localDatacentre), gocql.ShuffleReplicas()),
		now:                 now,
		metrics:             m,
		up:                  make(map[string]*gocql.HostInfo),
	}
}

// Pick implements gocql.HostSelectionPolicy.
func (c *coordinators) Pick(q gocql.ExecutableQuery) gocql.NextHost {
	if a, ok := q.Context().(*attempt); ok {
		a.choice = choice{of: c, query: routed{q, a.race.key}}
		a.choice.next = c.HostSelectionPolicy.Pick(&a.choice.query)
		return a.nextHost
	}
	if host, ok := q.Context().Value(onlyKey{}).(*gocql.HostInfo); ok {
		return only{host}.next()
	}
	return c.HostSelectionPolicy.Pick(q)
}

// onlyKey is where a context holds the one *gocql.HostInfo that may be asked.
type onlyKey struct{}

// only is a choice of one node.
type only struct{ host *gocql.HostInfo }

func (o only) next() gocql.NextHost {
	left := true
	return func() gocql.SelectedHost {
		if !left {
			return nil
		}
		left = false
		return o
	}
}

// Info implements gocql.SelectedHost.
func (o only) Info() *gocql.HostInfo { return o.host }

// Mark implements gocql.SelectedHost.
func (only) Mark(error) {}

// AddHost, RemoveHost, HostUp and HostDown keep count of the nodes for the metric.
func (c *coordinators) AddHost(h *gocql.HostInfo) {
	c.count(h, true)
	c.HostSelectionPolicy.AddHost(h)
}

// RemoveHost implements gocql.HostSelectionPolicy.
func (c *coordinators) RemoveHost(h *gocql.HostInfo) {
	c.count(h, false)
	c.HostSelectionPolicy.RemoveHost(h)
}

// HostUp implements gocql.HostSelectionPolicy.
func (c *coordinators) HostUp(h *gocql.HostInfo) {
	c.count(h, true)
	c.HostSelectionPolicy.HostUp(h)
}

// HostDown implements gocql.HostSelectionPolicy.
func (c *coordinators) HostDown(h *gocql.HostInfo) {
	c.count(h, false)
	c.HostSelectionPolicy.HostDown(h)
}

func (c *coordinators) count(h *gocql.HostInfo, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if up {
		c.up[h.HostID()] = h
	} else {
		delete(c.up, h.HostID())
	}
	c.ups.Store(int64(len(c.up)))
	c.metrics.hostsUp.Set(float64(len(c.up)))
}

// addresses are those of the local nodes that are held for up.
func (c *coordinators) addresses() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.up {
		all = append(all, h.ConnectAddress().String())
	}
	slices.Sort(all)
	return all
}

// at is the node with an address; nil where it is not held for up.
func (c *coordinators) at(address string) *gocql.HostInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.up {
		if h.ConnectAddress().String() == address {
			return h
		}
	}
	return nil
}

// size is how many local nodes are held for up; at least one, so that there is always an attempt.
func (c *coordinators) size() int { return max(int(c.ups.Load()), 1) }

// lost tells whether a node keeps failing while another does not.
func (c *coordinators) lost(h *health) bool {
	if h.failures.Load() < breakerFailures {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.up {
		if other := c.of(id); other != h && other.failures.Load() < breakerFailures {
			return true
		}
	}
	return false
}

func (c *coordinators) of(id string) *health {
	if h, ok := c.health.Load(id); ok {
		return h.(*health)
	}
	h, _ := c.health.LoadOrStore(id, &health{})
	return h.(*health)
}

// allow tells whether the node may be asked first. While it is failing, one caller in each breakerRest may.
func (h *health) allow(now time.Time) bool {
	if h.failures.Load() < breakerFailures {
		return true
	}
	due := h.until.Load()
	return now.UnixNano() >= due && h.until.CompareAndSwap(due, now.Add(breakerRest).UnixNano())
}

func (h *health) succeeded() { h.failures.Store(0) }

func (h *health) failed(now time.Time) {
	if h.failures.Add(1) == breakerFailures {
		h.until.Store(now.Add(breakerRest).UnixNano())
	}
}
