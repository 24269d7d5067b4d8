package testcluster

import "testing"

func TestCluster_RulesOfOneNode(t *testing.T) {
	a, b := &Node{Address: "10.0.0.1"}, &Node{Address: "10.0.0.2"}
	lossy := mustRule(t, Link{Loss: 0.05})
	for name, row := range map[string]struct {
		cluster *Cluster
		want    string // the rules of node b
	}{
		"nothing is cut": {&Cluster{}, ""},
		"cut":            {&Cluster{cuts: map[direction]rule{{a, b}: dropRule, {b, a}: rejectRule}}, "-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --dports 7000,7001 -j DROP\n"},
		"rejected": {
			&Cluster{cuts: map[direction]rule{{a, b}: rejectRule, {b, a}: dropRule}},
			"-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --dports 7000,7001 -j REJECT --reject-with tcp-reset\n",
		},
		"lossy": {
			&Cluster{cuts: map[direction]rule{{a, b}: lossy}},
			"-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --ports 7000,7001 -m statistic --mode random --probability 0.050000 -j DROP\n",
		},
		"cuts come before shapers": {
			&Cluster{shapers: map[direction]*shaper{{a, b}: {number: 7}, {b, a}: {number: 8}}, cuts: map[direction]rule{{a, b}: dropRule}},
			"-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --dports 7000,7001 -j DROP\n" +
				"-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --ports 7000,7001 -j NFQUEUE --queue-num 7 --queue-bypass\n",
		},
		"client port closed, and a cut": {
			&Cluster{cuts: map[direction]rule{{a, b}: dropRule}, clientRules: map[*Node][]string{a: clientPortRules(true), b: clientPortRules(false)}},
			"-A USERINFO-CUT -s 10.0.0.1 -p tcp -m multiport --dports 7000,7001 -j DROP\n" +
				"-A USERINFO-CUT -p tcp --dport 9042 -j DROP\n-A USERINFO-CUT -p tcp --sport 9042 -j DROP\n",
		},
		"client port rejects": {
			&Cluster{clientRules: map[*Node][]string{b: clientPortRules(true)}},
			"-A USERINFO-CUT -p tcp --dport 9042 -j REJECT --reject-with tcp-reset\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := row.cluster.rules(b), "*filter\n:USERINFO-CUT - [0:0]\n"+row.want+"COMMIT\n"; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func mustRule(t *testing.T, link Link) rule {
	t.Helper()
	r, err := link.rule()
	if err != nil {
		t.Fatal(err)
	}
	return r
}
