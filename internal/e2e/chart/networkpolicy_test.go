//go:build integration

package chart

import (
	"fmt"
	"strings"
	"testing"
)

// policy returns the specification of a network policy. It must decide about both directions: a direction that policyTypes does not
// name is open.
func policy(t *testing.T, all objects, name string) map[string]any {
	t.Helper()
	spec, _ := all.named(t, "NetworkPolicy", name)["spec"].(map[string]any)
	if got := fmt.Sprint(spec["policyTypes"]); got != "[Ingress Egress]" {
		t.Errorf("%s decides about %s", name, got)
	}
	for _, direction := range []string{"ingress", "egress"} {
		for _, rule := range list(spec, direction) {
			// A rule without peers is open to every address, and a rule without ports to every port.
			if len(list(rule, "from"))+len(list(rule, "to")) == 0 || len(list(rule, "ports")) == 0 {
				t.Errorf("%s: %s has an open rule: %v", name, direction, rule)
			}
			for _, port := range list(rule, "ports") {
				if at(port, "port") == nil {
					t.Errorf("%s: %s opens every port: %v", name, direction, rule)
				}
			}
		}
	}
	return spec
}

// TestNetworkPolicy_IsClosedByDefault checks that nobody can connect until somebody is listed, and that an empty list opens nothing.
func TestNetworkPolicy_IsClosedByDefault(t *testing.T) {
	defaults := readYAML(t, chart+"/values.yaml")
	if at(defaults, "networkPolicy enabled") != true || len(list(defaults, "networkPolicy clients")) != 0 {
		t.Fatalf("the defaults are open: %v", defaults["networkPolicy"])
	}
	spec := policy(t, render(t, append(valuesOf("minimal"), "--set-json", "networkPolicy.clients=[]", "--set-json", "networkPolicy.dns=[]")...), "userinfo")
	if ingress, ok := spec["ingress"].([]any); !ok || len(ingress) != 0 {
		t.Errorf("without clients, ingress is %v", spec["ingress"])
	}
	if egress := list(spec, "egress"); len(egress) != 1 || at(egress[0], "ports 0 port") != 9042 {
		t.Errorf("without a resolver, egress is %v", egress)
	}
}

// TestNetworkPolicy_AllowsWhatIsListed checks each rule with the values that it comes from.
func TestNetworkPolicy_AllowsWhatIsListed(t *testing.T) {
	for installation := range installations {
		all := render(t, valuesOf(installation)...)
		var values map[string]any
		for _, file := range installations[installation] {
			next, _ := readYAML(t, chart+"/ci/"+file)["networkPolicy"].(map[string]any)
			if values == nil {
				values = next
			}
			for name, value := range next {
				values[name] = value
			}
		}
		if values["dns"] == nil {
			values["dns"] = at(readYAML(t, chart+"/values.yaml"), "networkPolicy dns")
		}
		cassandraPort := 9042
		if installation == "everything" {
			cassandraPort = 9142
		}
		spec := policy(t, all, text(all.deployment(t), "metadata name"))
		want := fmt.Sprint([]any{map[string]any{"from": values["clients"], "ports": []any{map[string]any{"protocol": "TCP", "port": "https"}}}})
		if got := fmt.Sprint(spec["ingress"]); got != want {
			t.Errorf("%s: ingress\n%s\nwant\n%s", installation, got, want)
		}
		egress := []any{
			map[string]any{"to": values["cassandra"], "ports": []any{map[string]any{"protocol": "TCP", "port": cassandraPort}}},
			map[string]any{"to": values["dns"], "ports": []any{map[string]any{"protocol": "UDP", "port": 53}, map[string]any{"protocol": "TCP", "port": 53}}},
		}
		egress = append(egress, list(values, "egress")...)
		if got, want := fmt.Sprint(spec["egress"]), fmt.Sprint(egress); got != want {
			t.Errorf("%s: egress\n%s\nwant\n%s", installation, got, want)
		}
	}
}

// TestNetworkPolicy_OfHooksAllowsWhatTheyNeed checks the policy of the Jobs: one reads files only, the other changes Cassandra.
func TestNetworkPolicy_OfHooksAllowsWhatTheyNeed(t *testing.T) {
	for installation, rules := range map[string]int{"minimal": 0, "everything": 2} {
		all := render(t, valuesOf(installation)...)
		name := text(all.deployment(t), "metadata name")
		spec := policy(t, all, name+"-hooks")
		if len(list(spec, "ingress")) != 0 || len(list(spec, "egress")) != rules {
			t.Errorf("%s: %v", installation, spec)
		}
		for pod, template := range all.pods(t) {
			if got := matches(at(spec, "podSelector matchLabels"), at(template, "metadata labels")); got != (pod != name) {
				t.Errorf("the policy of hooks applies to the pod of %s: %v", pod, got)
			}
		}
	}
}

func TestNetworkPolicy_CanBeLeftOut(t *testing.T) {
	all := render(t, append(valuesOf("everything"), "--set", "networkPolicy.enabled=false", "--set-json", "networkPolicy.cassandra=[]")...)
	for _, kind := range all.kinds() {
		if strings.HasPrefix(kind, "NetworkPolicy ") {
			t.Errorf("there is %s", kind)
		}
	}
}
