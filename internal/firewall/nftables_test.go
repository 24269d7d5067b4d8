package firewall

import (
	"slices"
	"strings"
	"testing"
)

func TestRules_NFTablesMatchesTestdata(t *testing.T) {
	wantFile(t, "service.nft", example(t, Service).NFTables("userinfo.yaml and inventory.yaml"))
	wantFile(t, "cassandra.nft", example(t, Cassandra).NFTables("userinfo.yaml and inventory.yaml"))
}

// TestRules_NFTablesDropsByDefault checks rules without any peer: only what IPv6 needs, answers and this host itself are left.
func TestRules_NFTablesDropsByDefault(t *testing.T) {
	text := Rules{Hosts: Service, Datacentre: "dc1"}.NFTables("x")
	if n := strings.Count(text, "policy drop;"); n != 3 {
		t.Errorf("%d chains drop, want 3:\n%s", n, text)
	}
	if strings.Contains(text, "dport") || strings.Contains(text, "policy accept") {
		t.Errorf("rules without peers accept connections:\n%s", text)
	}
}

func TestRules_NFTablesDoesNotDependOnOrder(t *testing.T) {
	r := example(t, Cassandra)
	want := r.NFTables("x")
	for i := range r.In {
		r.In[i].Networks = slices.Clone(r.In[i].Networks)
		slices.Reverse(r.In[i].Networks)
	}
	if have := r.NFTables("x"); have != want {
		t.Errorf("another order of addresses gives other rules:\n%s", have)
	}
}

func TestRules_NFTablesReplacesItsTableOnly(t *testing.T) {
	for line := range strings.Lines(example(t, Service).NFTables("a\nflush ruleset")) {
		if strings.HasPrefix(line, "flush") || strings.Contains(line, "delete") && line != "delete table inet userinfo\n" {
			t.Errorf("the rules change other tables: %s", line)
		}
	}
}
