package coordinator

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gocql/gocql"
)

// routing is a token-aware host selection policy for the nodes of one datacentre. It offers the replicas of the partition
// first, in random order, and then the other nodes in turn. It does not offer a node that is down.
//
// gocql v1.7.0 has such a policy, TokenAwareHostPolicy. It panics in goroutines of the driver, which ends the process: if
// a keyspace has no replica in the local datacentre, and if the keyspace has an aggregate without a final function. Both
// can happen at any event about a node, too. Therefore routing reads no metadata: it only needs the number from SetReplicas.
type routing struct {
	random func(n int) int
	next   atomic.Uint32 // position in the turn

	mu       sync.Mutex                 // guards the fields below
	hosts    map[string]*gocql.HostInfo // by host ID
	murmur3  bool                       // the cluster uses Murmur3Partitioner; without it, no ring is made
	replicas int

	current atomic.Pointer[routes]
}

// routes is the state of a routing that Pick reads. It never changes; a routing replaces it.
type routes struct {
	hosts []*gocql.HostInfo
	ring  *ring // nil if the replicas are not known
}

var _ gocql.HostSelectionPolicy = (*routing)(nil)

func newRouting(random func(n int) int) *routing {
	r := &routing{random: random, hosts: make(map[string]*gocql.HostInfo)}
	r.current.Store(&routes{})
	return r
}

// Pick implements gocql.HostSelectionPolicy.
func (r *routing) Pick(q gocql.ExecutableQuery) gocql.NextHost {
	now := r.current.Load()
	order := make([]*gocql.HostInfo, 0, len(now.hosts))
	if q, ok := q.(routedQuery); ok && q.partitionKey != nil {
		order = append(order, now.ring.at(tokenOf(q.partitionKey))...)
		for i := len(order) - 1; i > 0; i-- {
			j := r.random(i + 1)
			order[i], order[j] = order[j], order[i]
		}
	}
	replicas := order
	start := int(r.next.Add(1))
	for i := range now.hosts {
		if h := now.hosts[(start+i)%len(now.hosts)]; !slices.Contains(replicas, h) {
			order = append(order, h)
		}
	}
	return func() gocql.SelectedHost {
		for len(order) > 0 {
			h := order[0]
			order = order[1:]
			if h.IsUp() {
				return singleNode{h}
			}
		}
		return nil
	}
}

// SetReplicas sets how many replicas the keyspace has in this datacentre. 0 means that it is not known.
func (r *routing) SetReplicas(n int) {
	r.mu.Lock()
	same := r.replicas == n
	r.mu.Unlock()
	if !same {
		r.change(func() { r.replicas = n })
	}
}

// SetPartitioner implements gocql.HostSelectionPolicy.
func (r *routing) SetPartitioner(name string) {
	r.change(func() { r.murmur3 = strings.HasSuffix(name, "Murmur3Partitioner") })
}

// AddHost implements gocql.HostSelectionPolicy. It replaces a node with the same host ID.
func (r *routing) AddHost(h *gocql.HostInfo) {
	r.change(func() { r.hosts[h.HostID()] = h })
}

// RemoveHost implements gocql.HostSelectionPolicy.
func (r *routing) RemoveHost(h *gocql.HostInfo) {
	r.change(func() { delete(r.hosts, h.HostID()) })
}

// change applies a change of the settings and replaces the current routes.
func (r *routing) change(apply func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	apply()
	now := &routes{}
	var members []member
	for _, h := range r.hosts {
		now.hosts = append(now.hosts, h)
		members = append(members, member{h, h.Rack(), parseTokens(h.Tokens())})
	}
	slices.SortFunc(now.hosts, func(a, b *gocql.HostInfo) int { return strings.Compare(a.HostID(), b.HostID()) })
	if r.murmur3 {
		now.ring = newRing(members, r.replicas)
	}
	r.current.Store(now)
}

// parseTokens parses the tokens of a node. It leaves out texts that are not numbers.
func parseTokens(texts []string) (tokens []int64) {
	for _, text := range texts {
		if token, err := strconv.ParseInt(text, 10, 64); err == nil {
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// Init implements gocql.HostSelectionPolicy.
func (*routing) Init(*gocql.Session) {}

// KeyspaceChanged implements gocql.HostSelectionPolicy.
func (*routing) KeyspaceChanged(gocql.KeyspaceUpdateEvent) {}

// HostUp implements gocql.HostSelectionPolicy. Pick asks the driver whether a node is up.
func (*routing) HostUp(*gocql.HostInfo) {}

// HostDown implements gocql.HostSelectionPolicy.
func (*routing) HostDown(*gocql.HostInfo) {}

// IsLocal implements gocql.HostSelectionPolicy. The driver's host filter keeps nodes of other datacentres away.
func (*routing) IsLocal(*gocql.HostInfo) bool { return true }
