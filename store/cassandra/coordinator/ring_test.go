package coordinator

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gocql/gocql"
)

// testMember returns a member whose host ID is its name.
func testMember(name, rack string, tokens ...int64) member {
	h := &gocql.HostInfo{}
	h.SetHostID(name)
	return member{h, rack, tokens}
}

// names returns the host IDs, joined.
func names(hosts []*gocql.HostInfo) string {
	var all []string
	for _, h := range hosts {
		all = append(all, h.HostID())
	}
	return strings.Join(all, "")
}

func TestRing_FindsReplicas(t *testing.T) {
	oneRack := []member{testMember("a", "r1", 0), testMember("b", "r1", 100), testMember("c", "r1", 200)}
	threeRacks := []member{
		testMember("a", "r1", 0), testMember("b", "r1", 100), testMember("c", "r2", 200), testMember("d", "r3", 300),
	}
	for name, c := range map[string]struct {
		members  []member
		replicas int
		want     map[int64]string // by token
	}{
		"one replica": {oneRack, 1, map[int64]string{-5: "a", 0: "a", 1: "b", 100: "b", 101: "c", 201: "a", math.MaxInt64: "a", math.MinInt64: "a"}},
		"a replica in the next nodes of the ring": {oneRack, 2, map[int64]string{0: "ab", 100: "bc", 200: "ca", 300: "ab"}},
		"more replicas than nodes":                {oneRack, 5, map[int64]string{0: "abc", 50: "bca"}},
		"each rack once":                          {threeRacks, 3, map[int64]string{0: "acd", 100: "bcd", 200: "cda", 300: "dac"}},
		"fewer replicas than racks":               {threeRacks, 2, map[int64]string{0: "ac", 100: "bc", 300: "da"}},
		"more replicas than racks":                {threeRacks, 4, map[int64]string{0: "abcd", 100: "bcda", 200: "cdab"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRing(c.members, c.replicas)
			for token, want := range c.want {
				if got := names(r.at(token)); got != want {
					t.Errorf("token %d has replicas %q, want %q", token, got, want)
				}
			}
		})
	}
}

func TestRing_IsNilWithoutReplicas(t *testing.T) {
	a := testMember("a", "r1", 0)
	for name, r := range map[string]*ring{
		"no nodes": newRing(nil, 3), "no tokens": newRing([]member{testMember("a", "r1")}, 3),
		"no replicas": newRing([]member{a}, 0), "negative": newRing([]member{a}, -1),
	} {
		if r != nil || r.at(0) != nil {
			t.Errorf("%s: there is a ring", name)
		}
	}
}

// TestRing_HasDifferentNodesInRandomClusters checks what every ring must have: the nearest node comes first, no node comes
// twice, and there are as many nodes as replicas, if there are enough.
func TestRing_HasDifferentNodesInRandomClusters(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var members []member
		for i := range 1 + random.IntN(9) {
			var tokens []int64
			for range 1 + random.IntN(8) {
				tokens = append(tokens, random.Int64()-random.Int64())
			}
			members = append(members, testMember(string(rune('a'+i)), string(rune('r'+random.IntN(4))), tokens...))
		}
		replicas := 1 + random.IntN(5)
		r := newRing(members, replicas)
		for i, hosts := range r.replicas {
			if len(hosts) != min(replicas, len(members)) {
				t.Fatalf("%d of %d nodes are replicas, want %d", len(hosts), len(members), replicas)
			}
			sorted := slices.Sorted(strings.SplitSeq(names(hosts), ""))
			if len(slices.Compact(sorted)) != len(hosts) {
				t.Fatalf("a node is a replica twice: %s", names(hosts))
			}
			owner := slices.IndexFunc(members, func(m member) bool { return m.host == hosts[0] })
			if !slices.Contains(members[owner].tokens, r.tokens[i]) {
				t.Fatal("the node of the token is not the first replica")
			}
		}
	}
}
