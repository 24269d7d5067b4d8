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
		"datacentres, both ways":         {c.LinkBetween("a", "b"), "0>2 0>3 1>2 1>3 2>0 2>1 3>0 3>1"},
		"one way":                        {Link{From: n[:1], To: n[2:], OneWay: true}, "0>2 0>3"},
		"around one node":                {c.LinkAround(n[1]), "0>1 1>0 1>2 1>3 2>1 3>1"},
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

func TestANodesFilterHoldsWhatConcernsItAndNothingElse(t *testing.T) {
	a, b := &Node{Address: "10.0.0.1"}, &Node{Address: "10.0.0.2"}
	lossy := mustVerdict(t, Link{Loss: 0.05})
	for claim, row := range map[string]struct {
		cluster *Cluster
		want    string // b's
	}{
		"nothing is cut": {&Cluster{}, ""},
		"cut":            {&Cluster{cuts: map[pair]verdict{{a, b}: drop, {b, a}: reject}}, "-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --dports 7000,7001 -j DROP\n"},
		"refused": {
			&Cluster{cuts: map[pair]verdict{{a, b}: reject, {b, a}: drop}},
			"-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --dports 7000,7001 -j REJECT --reject-with tcp-reset\n",
		},
		"lossy": {
			&Cluster{cuts: map[pair]verdict{{a, b}: lossy}},
			"-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --ports 7000,7001 -m statistic --mode random --probability 0.050000 -j DROP\n",
		},
		"slow, and cut before it is slow": {
			&Cluster{lines: map[pair]*line{{a, b}: {number: 7}, {b, a}: {number: 8}}, cuts: map[pair]verdict{{a, b}: drop}},
			"-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --dports 7000,7001 -j DROP\n" +
				"-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --ports 7000,7001 -j NFQUEUE --queue-num 7 --queue-bypass\n",
		},
		"closed to clients, besides a cut": {
			&Cluster{cuts: map[pair]verdict{{a, b}: drop}, closed: map[*Node][]string{a: closing(true), b: closing(false)}},
			"-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --dports 7000,7001 -j DROP\n" +
				"-A USERINFO-CUT -p tcp --dport 9042 -j DROP\n-A USERINFO-CUT -p tcp --sport 9042 -j DROP\n",
		},
		"refusing clients": {
			&Cluster{closed: map[*Node][]string{b: closing(true)}},
			"-A USERINFO-CUT -p tcp --dport 9042 -j REJECT --reject-with tcp-reset\n",
		},
	} {
		t.Run(claim, func(t *testing.T) {
			if got, want := row.cluster.rules(b), "*filter\n:USERINFO-CUT - [0:0]\n"+row.want+"COMMIT\n"; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestALinkThatMakesNoSenseIsRefused(t *testing.T) {
	for claim, link := range map[string]Link{
		"loses everything, by share": {Loss: 1},
		"loses less than nothing":    {Loss: -0.1},
		"both loses and refuses":     {Loss: 0.2, Reject: true},
	} {
		t.Run(claim, func(t *testing.T) {
			if err := (&Cluster{}).Cut(t.Context(), link); err == nil {
				t.Error("no error")
			}
		})
	}
}

func mustVerdict(t *testing.T, link Link) verdict {
	t.Helper()
	how, err := link.verdict()
	if err != nil {
		t.Fatal(err)
	}
	return how
}
