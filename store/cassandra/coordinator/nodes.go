package coordinator

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
)

// nodes is the driver's host selection policy. It chooses which local node coordinates a statement: in the driver's
// token-aware order, but nodes that keep failing, and nodes that the call has already asked, come last. No node is left
// out: if all nodes fail, all are asked.
type nodes struct {
	gocql.HostSelectionPolicy // token-aware, local datacentre only
	keyspace                  string
	now                       func() time.Time
	metrics                   *Metrics

	mu      sync.Mutex                 // guards up
	up      map[string]*gocql.HostInfo // by host ID
	upCount atomic.Int64

	all sync.Map // host ID → *node, also of nodes that are down
}

// node is what is known about one node. It lives as long as the Runner.
type node struct{ breaker breaker }

var _ gocql.HostSelectionPolicy = (*nodes)(nil)

func newNodes(localDatacentre, keyspace string, now func() time.Time, m *Metrics) *nodes {
	return &nodes{
		HostSelectionPolicy: gocql.TokenAwareHostPolicy(gocql.DCAwareRoundRobinPolicy(localDatacentre), gocql.ShuffleReplicas()),
		keyspace:            keyspace,
		now:                 now,
		metrics:             m,
		up:                  make(map[string]*gocql.HostInfo),
	}
}

// Pick implements gocql.HostSelectionPolicy.
func (ns *nodes) Pick(q gocql.ExecutableQuery) gocql.NextHost {
	if c := choiceFrom(q.Context()); c != nil {
		return c.pick(ns, q)
	}
	return ns.HostSelectionPolicy.Pick(q)
}

// KeyspaceChanged implements gocql.HostSelectionPolicy. It ignores other keyspaces: gocql v1.7.0 panics on one that has
// no replicas in the local datacentre ("token map different size to token ring"), and anybody who may create a keyspace
// could end this process.
func (ns *nodes) KeyspaceChanged(e gocql.KeyspaceUpdateEvent) {
	if e.Keyspace == ns.keyspace {
		ns.HostSelectionPolicy.KeyspaceChanged(e)
	}
}

// AddHost implements gocql.HostSelectionPolicy.
func (ns *nodes) AddHost(h *gocql.HostInfo) {
	ns.setUp(h, true)
	ns.HostSelectionPolicy.AddHost(h)
}

// RemoveHost implements gocql.HostSelectionPolicy.
func (ns *nodes) RemoveHost(h *gocql.HostInfo) {
	ns.setUp(h, false)
	ns.HostSelectionPolicy.RemoveHost(h)
}

// HostUp implements gocql.HostSelectionPolicy.
func (ns *nodes) HostUp(h *gocql.HostInfo) {
	ns.setUp(h, true)
	ns.HostSelectionPolicy.HostUp(h)
}

// HostDown implements gocql.HostSelectionPolicy.
func (ns *nodes) HostDown(h *gocql.HostInfo) {
	ns.setUp(h, false)
	ns.HostSelectionPolicy.HostDown(h)
}

func (ns *nodes) setUp(h *gocql.HostInfo, up bool) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if up {
		ns.up[h.HostID()] = h
	} else {
		delete(ns.up, h.HostID())
	}
	ns.upCount.Store(int64(len(ns.up)))
	ns.metrics.hostsUp.Set(float64(len(ns.up)))
}

// addresses returns the addresses of the nodes that are up, sorted as text.
func (ns *nodes) addresses() (all []string) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, h := range ns.up {
		all = append(all, h.ConnectAddress().String())
	}
	slices.Sort(all)
	return all
}

// at returns the node with an address, or nil if it is not up.
func (ns *nodes) at(address string) *gocql.HostInfo {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, h := range ns.up {
		if h.ConnectAddress().String() == address {
			return h
		}
	}
	return nil
}

// count returns how many nodes are up, or 1 if none is: a call always makes at least one attempt.
func (ns *nodes) count() int { return max(int(ns.upCount.Load()), 1) }

// onlyThisFails reports whether the breaker of n is open while the breaker of another node is closed. n may be nil.
func (ns *nodes) onlyThisFails(n *node) bool {
	if n == nil || !n.breaker.open() {
		return false
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for id := range ns.up {
		if other := ns.node(id); other != n && !other.breaker.open() {
			return true
		}
	}
	return false
}

// node returns the node with a host ID, and creates it on first use.
func (ns *nodes) node(hostID string) *node {
	if n, ok := ns.all.Load(hostID); ok {
		return n.(*node)
	}
	n, _ := ns.all.LoadOrStore(hostID, &node{})
	return n.(*node)
}
