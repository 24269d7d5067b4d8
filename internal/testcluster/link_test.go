package testcluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestLinksJoinEveryNodeOfOneSetWithEveryOtherOfTheOther(t *testing.T) {
	c := &Cluster{}
	for i, dc := range []string{"a", "a", "b", "b"} {
		c.nodes = append(c.nodes, &Node{Name: fmt.Sprint(i), Datacentre: dc})
	}
	n := c.nodes
	for claim, row := range map[string]struct {
		link Link
		want string
	}{
		"datacentres, both ways":         {c.Between("a", "b"), "0>2 0>3 1>2 1>3 2>0 2>1 3>0 3>1"},
		"one way":                        {Link{From: n[:1], To: n[2:], OneWay: true}, "0>2 0>3"},
		"around one node":                {c.Around(n[1]), "0>1 1>0 1>2 1>3 2>1 3>1"},
		"a node is not linked to itself": {Link{From: n[:2], To: n[:1]}, "0>1 1>0"},
	} {
		t.Run(claim, func(t *testing.T) {
			var got []string
			for _, p := range row.link.pairs() {
				got = append(got, p.from.Name+">"+p.to.Name)
			}
			slices.Sort(got)
			if text := strings.Join(got, " "); text != row.want {
				t.Errorf("got %s, want %s", text, row.want)
			}
		})
	}
}

func TestANodesFilterHoldsTheCutsTowardsItAndNothingElse(t *testing.T) {
	a, b := &Node{Address: "10.0.0.1"}, &Node{Address: "10.0.0.2"}
	c := &Cluster{cuts: map[pair]verdict{{a, b}: reject, {b, a}: drop}}
	want := `*filter
:USERINFO-CUT - [0:0]
-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --dports 7000,7001 -j REJECT --reject-with tcp-reset
COMMIT
`
	if got := c.rules(b); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
