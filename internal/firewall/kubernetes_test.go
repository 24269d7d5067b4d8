package firewall

import (
	"net/netip"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func policy(t *testing.T, r Rules) string {
	t.Helper()
	text, err := r.NetworkPolicy("userinfo.yaml and inventory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRules_NetworkPolicyMatchesTestdata(t *testing.T) {
	wantFile(t, "networkpolicy.yaml", policy(t, example(t, Service)))
}

func TestRules_NetworkPolicyNeedsPodsOfService(t *testing.T) {
	if text, err := example(t, Cassandra).NetworkPolicy("x"); err == nil || text != "" {
		t.Errorf("for Cassandra's hosts: %q, %v", text, err)
	}
	r := example(t, Service)
	r.kubernetes.Pods = nil
	if text, err := r.NetworkPolicy("x"); err == nil || text != "" {
		t.Errorf("for unknown pods: %q, %v", text, err)
	}
}

// TestRules_NetworkPolicyLeavesOutRulesWithoutPeers checks what Kubernetes would take for every address or every port.
func TestRules_NetworkPolicyLeavesOutRulesWithoutPeers(t *testing.T) {
	r := example(t, Service)
	network := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	r.In = []Rule{{Comment: "nobody", Protocol: TCP, Ports: []int{8443}}}
	r.Out = []Rule{{Comment: "no port", Protocol: TCP, Networks: network}, {Comment: "an empty selector", Protocol: TCP, Ports: []int{53}, Selectors: []Selector{{}}}}
	var p networkPolicy
	text := policy(t, r)
	if err := yaml.Unmarshal([]byte(text), &p); err != nil || len(p.Spec.Ingress)+len(p.Spec.Egress) > 0 || len(p.Spec.PolicyTypes) != 2 {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestRules_NetworkPolicyQuotesLabels: in YAML 1.1, on is true. A policy with another label would choose no pod and protect none.
func TestRules_NetworkPolicyQuotesLabels(t *testing.T) {
	r := example(t, Service)
	r.kubernetes.Pods = map[string]string{"on": "no", "1.10": "1.10"}
	if text := policy(t, r); !strings.Contains(text, `matchLabels: {"1.10": "1.10", "on": "no"}`) {
		t.Error(text)
	}
}

// networkPolicy is the part of a NetworkPolicy that decides.
type networkPolicy struct {
	Spec struct {
		PolicyTypes     []string `yaml:"policyTypes"`
		Ingress, Egress []struct {
			From, To []struct {
				IPBlock     struct{ CIDR string }                   `yaml:"ipBlock"`
				PodSelector struct{ MatchLabels map[string]string } `yaml:"podSelector"`
			}
			Ports []struct {
				Protocol string
				Port     int
			}
		}
	}
}

// allows decides as Kubernetes does whether an address may connect to the pods, or the pods to an address.
func (p networkPolicy) allows(in bool, address, protocol string, port int) bool {
	rules := p.Spec.Egress
	if in {
		rules = p.Spec.Ingress
	}
	for _, r := range rules {
		peer := false
		for _, one := range append(r.From, r.To...) {
			if one.IPBlock.CIDR != "" && netip.MustParsePrefix(one.IPBlock.CIDR).Contains(netip.MustParseAddr(address)) {
				peer = true
			}
		}
		for _, one := range r.Ports {
			if peer && one.Protocol == protocol && one.Port == port {
				return true
			}
		}
	}
	return false
}

func TestRules_NetworkPolicyAllowsWhatRulesAllow(t *testing.T) {
	var p networkPolicy
	if err := yaml.Unmarshal([]byte(policy(t, example(t, Service))), &p); err != nil {
		t.Fatal(err)
	}
	if strings.Join(p.Spec.PolicyTypes, " ") != "Ingress Egress" {
		t.Errorf("the policy is for %q", p.Spec.PolicyTypes)
	}
	for _, c := range []struct {
		in       bool
		address  string
		protocol string
		port     int
		want     bool
	}{
		{true, "10.64.3.4", "TCP", 8443, true},
		{true, "2001:db8:64::9", "TCP", 8443, true},
		{true, "10.65.0.7", "TCP", 8443, true},
		{true, "10.96.0.1", "TCP", 8443, false},
		{true, "10.64.3.4", "TCP", 22, false},
		{true, "10.65.1.5", "TCP", 22, false},
		{true, "10.65.1.5", "TCP", 8443, false},
		{true, "192.0.2.1", "TCP", 8443, false},
		{false, "10.64.1.1", "TCP", 9042, true},
		{false, "2001:db8:64:1::1", "TCP", 9042, true},
		{false, "10.64.1.1", "TCP", 7000, false},
		{false, "10.192.1.1", "TCP", 9042, false},
		{false, "10.65.2.1", "UDP", 53, true},
		{false, "10.65.2.1", "TCP", 53, true},
		{false, "10.65.2.3", "UDP", 123, true},
		{false, "10.65.2.3", "TCP", 123, false},
		{false, "10.65.3.1", "TCP", 4318, true},
		{false, "10.65.3.1", "TCP", 443, false},
		{false, "192.0.2.1", "UDP", 53, false},
	} {
		if got := p.allows(c.in, c.address, c.protocol, c.port); got != c.want {
			t.Errorf("in %v, %s, %s %d: allowed %v, want %v", c.in, c.address, c.protocol, c.port, got, c.want)
		}
	}
}
