package firewall

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"userinfo/internal/field"
)

// Forms of Kubernetes names.
var (
	namespaceForm  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	labelKeyForm   = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	labelValueForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
)

// validate returns every mistake, each a *field.Error. An absent Kubernetes is right.
func (k Kubernetes) validate() error {
	var errs []error
	if k.Namespace != "" && !namespaceForm.MatchString(k.Namespace) {
		errs = append(errs, field.Errorf("kubernetes.namespace", "is no name of a namespace: use a-z, 0-9 and -"))
	}
	if k.Pods != nil {
		errs = append(errs, validateLabels("kubernetes.pods", k.Pods))
	}
	for _, list := range []struct {
		path      string
		selectors []Selector
	}{{"kubernetes.clients", k.Clients}, {"kubernetes.monitoring", k.Monitoring}, {"kubernetes.dns", k.DNS}} {
		for i, s := range list.selectors {
			at := fmt.Sprintf("%s[%d]", list.path, i)
			errs = append(errs, validateLabels(at+".namespace", s.Namespace), validateLabels(at+".pods", s.Pods))
		}
	}
	return errors.Join(errs...)
}

// validateLabels checks the labels of a selector. It fails closed: an empty selector, which would choose everything, is a
// mistake.
func validateLabels(path string, labels map[string]string) error {
	if len(labels) == 0 {
		return field.Errorf(path, "missing: without labels it would choose everything")
	}
	for key, value := range labels {
		if !labelKeyForm.MatchString(key) || !labelValueForm.MatchString(value) {
			return field.Errorf(path, "a label is not valid in Kubernetes: use letters, digits and . _ - such as {app.kubernetes.io/name: userinfo}")
		}
	}
	return nil
}

// NetworkPolicy returns the rules as a NetworkPolicy of Kubernetes, in YAML. source says in a comment what they were made from.
// There is no policy for Cassandra's hosts. It fails closed: the policy chooses the pods for both directions, so that Kubernetes
// drops what it does not list.
func (r Rules) NetworkPolicy(source string) (string, error) {
	switch {
	case r.Hosts != Service:
		return "", errors.New("a network policy is for the pods of the service only; print rules for Cassandra's hosts as nftables")
	case r.kubernetes.Namespace == "" || len(r.kubernetes.Pods) == 0:
		return "", errors.New("the inventory does not say which pods are the service's; add kubernetes.namespace and kubernetes.pods")
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Firewall of the pods of UserInfo in datacentre %s.
# Made by `+"`userinfo firewall print`"+` from %s.
# Do not edit it: change the inventory or the configuration and print it again.
#
# Kubernetes drops what is not listed here, in both directions, if the cluster's network supports policies. Probes of the node's
# own kubelet are always allowed.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: userinfo
  namespace: %s
spec:
  podSelector:
    matchLabels: %s
  policyTypes: [Ingress, Egress]
  ingress:
`, strconv.Quote(r.Datacentre), strconv.Quote(source), strconv.Quote(r.kubernetes.Namespace), labels(r.kubernetes.Pods))
	writePeers(&b, "from", r.In)
	fmt.Fprint(&b, "  egress:\n")
	writePeers(&b, "to", r.Out)
	return b.String(), nil
}

// isClosed reports whether the rule allows nothing: it has no peers, an empty selector, or no ports. It fails closed: Kubernetes
// takes each of these for everything.
func (r Rule) isClosed() bool {
	isEmpty := func(s Selector) bool { return len(s.Namespace) == 0 || len(s.Pods) == 0 }
	return len(r.Networks)+len(r.Selectors) == 0 || len(r.Ports) == 0 || slices.ContainsFunc(r.Selectors, isEmpty)
}

// writePeers writes the rules of one direction, except those for hosts and those that allow nothing.
func writePeers(b *strings.Builder, side string, rules []Rule) {
	for _, r := range rules {
		if r.HostOnly || r.isClosed() {
			continue
		}
		fmt.Fprintf(b, "    # %s\n    - %s:\n", r.Comment, side)
		for _, networks := range r.byFamily() {
			for _, n := range networks {
				fmt.Fprintf(b, "        - ipBlock: {cidr: %q}\n", n)
			}
		}
		for _, s := range r.Selectors {
			fmt.Fprintf(b, "        - namespaceSelector: {matchLabels: %s}\n          podSelector: {matchLabels: %s}\n", labels(s.Namespace), labels(s.Pods))
		}
		fmt.Fprint(b, "      ports:\n")
		for _, port := range r.Ports {
			fmt.Fprintf(b, "        - {protocol: %s, port: %d}\n", strings.ToUpper(string(r.Protocol)), port)
		}
	}
}

// labels returns labels as a mapping of YAML in one line. It quotes the names too: on without quotes would be true.
func labels(all map[string]string) string {
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		texts = append(texts, fmt.Sprintf("%q: %q", key, all[key]))
	}
	return "{" + strings.Join(texts, ", ") + "}"
}
