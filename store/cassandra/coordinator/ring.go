package coordinator

import (
	"cmp"
	"slices"
	"sort"

	"github.com/gocql/gocql"
)

// ring tells which nodes of the local datacentre hold the replicas of a partition, if the keyspace has
// NetworkTopologyStrategy. That strategy places replicas in each datacentre on its own, so the other datacentres do not
// matter. A ring never changes.
//
// A ring is a guess, and may be wrong. Then the service asks nodes that are not replicas. These nodes ask the replicas, so the
// result is right and only takes longer.
type ring struct {
	tokens   []int64             // sorted
	replicas [][]*gocql.HostInfo // replicas[i] hold the tokens above tokens[i-1], up to tokens[i]
}

// member is a node of a ring.
type member struct {
	host   *gocql.HostInfo
	rack   string
	tokens []int64
}

// newRing returns the ring of the nodes for a number of replicas, or nil if a partition has no replica.
func newRing(members []member, replicas int) *ring {
	type position struct {
		token  int64
		member *member
	}
	var positions []position
	racks := make(map[string]bool)
	for i := range members {
		m := &members[i]
		racks[m.rack] = true
		for _, token := range m.tokens {
			positions = append(positions, position{token, m})
		}
	}
	if len(positions) == 0 || replicas < 1 {
		return nil
	}
	slices.SortFunc(positions, func(a, b position) int { return cmp.Compare(a.token, b.token) })
	r := &ring{tokens: make([]int64, len(positions)), replicas: make([][]*gocql.HostInfo, len(positions))}
	for i, p := range positions {
		chosen := placement{want: min(replicas, len(members)), repeats: replicas - len(racks)}
		for j := 0; j < len(positions) && !chosen.complete(); j++ {
			chosen.offer(positions[(i+j)%len(positions)].member)
		}
		r.tokens[i], r.replicas[i] = p.token, chosen.hosts
	}
	return r
}

// at returns the replicas of a token. The caller must not modify them. r may be nil.
func (r *ring) at(token int64) []*gocql.HostInfo {
	if r == nil {
		return nil
	}
	i := sort.Search(len(r.tokens), func(i int) bool { return r.tokens[i] >= token })
	return r.replicas[i%len(r.tokens)]
}

// placement chooses the replicas of one token range. The nodes are offered in the order of the ring. A node is taken if
// no other node of its rack has been taken, or if there are more replicas than racks.
type placement struct {
	want    int
	repeats int // how many more nodes may be taken from racks that already have a replica
	hosts   []*gocql.HostInfo
	racks   []string
}

func (p *placement) complete() bool { return len(p.hosts) == p.want }

func (p *placement) offer(m *member) {
	if slices.Contains(p.hosts, m.host) {
		return
	}
	if slices.Contains(p.racks, m.rack) {
		if p.repeats <= 0 {
			return
		}
		p.repeats--
	}
	p.hosts, p.racks = append(p.hosts, m.host), append(p.racks, m.rack)
}
