package coordinator

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
)

// nodes is the driver's host selection policy. It chooses which local node coordinates a statement: in the order of
// routing, but nodes that keep failing, and nodes that the call has already asked, come last. No node is left out: if all
// nodes fail, all are asked.
//
// It is also the driver's conviction policy, which decides whether a node is down because no connection can be made.
type nodes struct {
	gocql.HostSelectionPolicy // routing
	now                       func() time.Time
	metrics                   *Metrics

	mu      sync.Mutex                 // guards known, removed and up
	known   map[string]*gocql.HostInfo // by host ID
	removed []*gocql.HostInfo          // the last maxRemoved that were removed
	up      map[string]*gocql.HostInfo // by host ID
	upCount atomic.Int64

	all sync.Map // host ID → *node, also of nodes that are down
}

// maxRemoved is how many removed nodes are remembered. The driver's goroutines use a removed node for a few seconds at most.
const maxRemoved = 1024

// node is what is known about one node. It lives as long as the Runner.
type node struct{ breaker breaker }

var (
	_ gocql.HostSelectionPolicy = (*nodes)(nil)
	_ gocql.ConvictionPolicy    = (*nodes)(nil)
)

func newNodes(routing gocql.HostSelectionPolicy, now func() time.Time, m *Metrics) *nodes {
	ns := &nodes{
		HostSelectionPolicy: routing,
		now:                 now,
		metrics:             m,
		known:               make(map[string]*gocql.HostInfo),
		up:                  make(map[string]*gocql.HostInfo),
	}
	m.nodes.Store(ns)
	return ns
}

// Pick implements gocql.HostSelectionPolicy.
func (ns *nodes) Pick(q gocql.ExecutableQuery) gocql.NextHost {
	if c := choiceFrom(q.Context()); c != nil {
		return c.pick(ns, q)
	}
	return ns.HostSelectionPolicy.Pick(q)
}

// AddHost implements gocql.HostSelectionPolicy. It ignores a HostInfo that was removed before: the driver makes a new one
// when a node comes back or changes its address, but may still add the old one late, from another goroutine.
func (ns *nodes) AddHost(h *gocql.HostInfo) {
	if ns.add(h) {
		ns.HostSelectionPolicy.AddHost(h)
	}
}

func (ns *nodes) add(h *gocql.HostInfo) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if slices.Contains(ns.removed, h) {
		return false
	}
	ns.known[h.HostID()] = h
	ns.setUp(h, h.IsUp())
	return true
}

// RemoveHost implements gocql.HostSelectionPolicy.
func (ns *nodes) RemoveHost(h *gocql.HostInfo) {
	if ns.remove(h) {
		ns.HostSelectionPolicy.RemoveHost(h)
	}
}

func (ns *nodes) remove(h *gocql.HostInfo) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.removed = append(ns.removed, h)
	if len(ns.removed) > maxRemoved {
		ns.removed = slices.Delete(ns.removed, 0, 1)
	}
	if ns.known[h.HostID()] != h {
		return false
	}
	delete(ns.known, h.HostID())
	ns.setUp(h, false)
	return true
}

// HostUp implements gocql.HostSelectionPolicy.
func (ns *nodes) HostUp(h *gocql.HostInfo) {
	if ns.mark(h, true) {
		ns.HostSelectionPolicy.HostUp(h)
	}
}

// HostDown implements gocql.HostSelectionPolicy.
func (ns *nodes) HostDown(h *gocql.HostInfo) {
	if ns.mark(h, false) {
		ns.HostSelectionPolicy.HostDown(h)
	}
}

func (ns *nodes) mark(h *gocql.HostInfo, up bool) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.known[h.HostID()] != h {
		return false
	}
	ns.setUp(h, up)
	return true
}

// AddFailure implements gocql.ConvictionPolicy. It returns true, which marks the node as down, except for a node that was
// removed: gocql v1.7.0 would look it up by its address, and might find another node, or nothing and panic.
func (ns *nodes) AddFailure(_ error, h *gocql.HostInfo) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return !slices.Contains(ns.removed, h)
}

// Reset implements gocql.ConvictionPolicy.
func (*nodes) Reset(*gocql.HostInfo) {}

// setUp records whether a node is up. The caller holds mu.
func (ns *nodes) setUp(h *gocql.HostInfo, up bool) {
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

// openBreakers returns how many nodes are up and have an open breaker. ns may be nil.
func (ns *nodes) openBreakers() (open int) {
	if ns == nil {
		return 0
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for id := range ns.up {
		if ns.node(id).breaker.open() {
			open++
		}
	}
	return open
}

// node returns the node with a host ID, and creates it on first use.
func (ns *nodes) node(hostID string) *node {
	if n, ok := ns.all.Load(hostID); ok {
		return n.(*node)
	}
	n, _ := ns.all.LoadOrStore(hostID, &node{})
	return n.(*node)
}
