package testcluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestLink_DirectionsCoverAllPairs(t *testing.T) {
	c := &Cluster{}
	for i, dc := range []string{"a", "a", "b", "b"} {
		c.updateNodes(func(nodes []*Node) []*Node { return append(nodes, &Node{Name: fmt.Sprint(i), Datacentre: dc}) })
	}
	n := c.all()
	for name, row := range map[string]struct {
		link Link
		want string
	}{
		"datacentres, both ways":      {c.LinkBetween("a", "b"), "0>2 0>3 1>2 1>3 2>0 2>1 3>0 3>1"},
		"one way":                     {Link{From: n[:1], To: n[2:], OneWay: true}, "0>2 0>3"},
		"around one node":             {c.LinkAround(n[1]), "0>1 1>0 1>2 1>3 2>1 3>1"},
		"no node is linked to itself": {Link{From: n[:2], To: n[:1]}, "0>1 1>0"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range row.link.directions() {
				got = append(got, p.from.Name+">"+p.to.Name)
			}
			slices.Sort(got)
			if text := strings.Join(got, " "); text != row.want {
				t.Errorf("got %s, want %s", text, row.want)
			}
		})
	}
}

func TestCluster_CutRejectsContradictoryLink(t *testing.T) {
	for name, link := range map[string]Link{
		"loss of 1":           {Loss: 1},
		"negative loss":       {Loss: -0.1},
		"loss and rejections": {Loss: 0.2, Reject: true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := (&Cluster{}).Cut(t.Context(), link); err == nil {
				t.Error("no error")
			}
		})
	}
}
