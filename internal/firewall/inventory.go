package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"userinfo/internal/config"
	"userinfo/internal/field"
	"userinfo/internal/keyfile"
)

// Inventory is the content of the inventory file: which hosts and networks there are. deploy/inventory.yaml is an example with
// every field. A network is written like 10.64.0.0/16 or 2001:db8:64::/48. A single address needs no /32 or /128.
type Inventory struct {
	// Clients are the networks of clients that connect to the service directly.
	Clients Networks `yaml:"clients"`
	// Proxies are the proxies in front of the service. Clients, Proxies or Kubernetes.Clients is required.
	Proxies Networks `yaml:"proxies"`
	// WithoutRule are networks that the configuration names and that get no rule: clients that come through a proxy only, and pods
	// that Kubernetes.Clients selects.
	WithoutRule Networks `yaml:"without_rule"`
	// Monitoring are the hosts of Prometheus. They reach the service's port, which has /metrics, and ExporterPorts.
	Monitoring Networks `yaml:"monitoring"`
	// ExporterPorts are TCP ports of Prometheus exporters on all hosts, such as 9100. Default: none.
	ExporterPorts []int `yaml:"exporter_ports"`
	// Admin are the networks from which operators log in to the hosts by SSH. Required: without it nobody could log in.
	Admin Networks `yaml:"admin"`
	// SSHPort is the TCP port of SSH on all hosts. Default: 22.
	SSHPort int `yaml:"ssh_port"`
	// DNS are the name servers. Required.
	DNS Networks `yaml:"dns"`
	// NTP are the time servers. Required.
	NTP Networks `yaml:"ntp"`
	// Destinations are what hosts may connect to besides Cassandra, DNS and NTP. Default: none.
	Destinations []Destination `yaml:"destinations"`
	// Datacentres are all datacentres of the cluster.
	Datacentres []Datacentre `yaml:"datacentres"`
	// Kubernetes is required for network policies, and unused otherwise.
	Kubernetes Kubernetes `yaml:"kubernetes"`
}

// Destination is what hosts may connect to, such as a collector of traces or a mirror of packages.
type Destination struct {
	// Name appears in the rules. It consists of letters, digits, spaces and . _ -
	Name string `yaml:"name"`
	// Host is its host name, if the configuration names it: the collector of tracing.endpoint. Default: none.
	Host string `yaml:"host"`
	// Networks are its addresses.
	Networks Networks `yaml:"networks"`
	// Protocol is tcp (default) or udp.
	Protocol Protocol `yaml:"protocol"`
	// Port is its port.
	Port int `yaml:"port"`
	// From are the hosts that need it: service, cassandra or both.
	From []Hosts `yaml:"from"`
}

// Datacentre is one datacentre of the Cassandra cluster.
type Datacentre struct {
	// Name is the datacentre's name in Cassandra.
	Name string `yaml:"name"`
	// Services are the hosts of the service. They reach the nodes of their own datacentre only. If the service runs in pods, these
	// are the addresses from which Cassandra sees the pods.
	Services Networks `yaml:"services"`
	// Cassandra are the nodes.
	Cassandra []Node `yaml:"cassandra"`
}

// Node is one node of Cassandra.
type Node struct {
	// Name is the host name that cassandra.hosts of the configuration may use. Default: none.
	Name string `yaml:"name"`
	// Addresses are the node's addresses, IPv4, IPv6 or both.
	Addresses Networks `yaml:"addresses"`
}

// Kubernetes describes the service's pods and the pods that they talk to.
type Kubernetes struct {
	// Namespace is the namespace of the service's pods.
	Namespace string `yaml:"namespace"`
	// Pods are the labels of the service's pods.
	Pods map[string]string `yaml:"pods"`
	// Clients and Monitoring are pods that connect to the service, beside the networks of the same names.
	Clients    []Selector `yaml:"clients"`
	Monitoring []Selector `yaml:"monitoring"`
	// DNS are the pods of the cluster's DNS, beside the name servers of the inventory.
	DNS []Selector `yaml:"dns"`
}

// Selector chooses pods by the labels of their namespace and their own labels. Both are required, because an empty selector
// would choose every pod.
type Selector struct {
	Namespace map[string]string `yaml:"namespace"`
	Pods      map[string]string `yaml:"pods"`
}

// Load reads and checks an inventory. Its error joins one *config.Mistake for each mistake. It fails closed: it rejects a file
// that everybody may write, because the file decides who may reach the hosts.
func Load(name string) (*Inventory, error) {
	text, err := keyfile.ReadPublic(name)
	if err != nil {
		return nil, fmt.Errorf("reading the inventory: %w", err)
	}
	return Parse(name, text)
}

// Parse does what Load does, with text as the content of the file called name.
func Parse(name string, text []byte) (*Inventory, error) {
	inv := new(Inventory)
	err := config.ParseOther(name, text, inv, func() error {
		inv.applyDefaults()
		return inv.validate()
	})
	if err != nil {
		return nil, err
	}
	return inv, nil
}

func (inv *Inventory) applyDefaults() {
	if inv.SSHPort == 0 {
		inv.SSHPort = 22
	}
	for i := range inv.Destinations {
		if inv.Destinations[i].Protocol == "" {
			inv.Destinations[i].Protocol = TCP
		}
	}
}

// validate returns every mistake in the inventory, each a *field.Error. Defaults must have been applied.
func (inv *Inventory) validate() error {
	var errs []error
	bad := func(path, format string, args ...any) { errs = append(errs, field.Errorf(path, format, args...)) }
	for _, list := range inv.lists() {
		errs = append(errs, list.networks.validate(list.path))
		if list.required && len(list.networks) == 0 {
			bad(list.path, "missing: %s", list.why)
		}
	}
	if len(inv.Clients)+len(inv.Proxies)+len(inv.Kubernetes.Clients) == 0 {
		bad("clients", "missing: list the clients' networks, or proxies; otherwise nobody could reach the service")
	}
	for i, port := range inv.ExporterPorts {
		errs = append(errs, validatePort(fmt.Sprintf("exporter_ports[%d]", i), port))
		if slices.Contains(inv.ExporterPorts[:i], port) {
			bad(fmt.Sprintf("exporter_ports[%d]", i), "is listed twice; remove one")
		}
	}
	if len(inv.ExporterPorts) > 0 && len(inv.Monitoring) == 0 {
		bad("exporter_ports", "monitoring lists nobody who could reach these ports; add it, or remove exporter_ports")
	}
	errs = append(errs, validatePort("ssh_port", inv.SSHPort), inv.validateDestinations(), inv.validateDatacentres(), inv.Kubernetes.validate())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return inv.validateSeparation()
}

// list is one list of networks in the inventory.
type list struct {
	path     string
	networks Networks
	required bool
	why      string
}

// lists returns the lists of networks at the top of the inventory.
func (inv *Inventory) lists() []list {
	return []list{
		{path: "clients", networks: inv.Clients},
		{path: "proxies", networks: inv.Proxies},
		{path: "without_rule", networks: inv.WithoutRule},
		{path: "monitoring", networks: inv.Monitoring},
		{"admin", inv.Admin, true, "the networks from which operators log in by SSH; without them nobody could load other rules"},
		{"dns", inv.DNS, true, "the name servers of the hosts"},
		{"ntp", inv.NTP, true, "the time servers of the hosts; the service depends on right clocks"},
	}
}

// validateSeparation rejects lists that contradict each other. All lists must be valid.
func (inv *Inventory) validateSeparation() error {
	var errs []error
	for _, pair := range []struct {
		path  string
		a     Networks
		other string
		b     Networks
		why   string
	}{
		{"admin", inv.Admin, "clients", inv.Clients, "clients could log in to the hosts by SSH"},
		{"admin", inv.Admin, "proxies", inv.Proxies, "proxies could log in to the hosts by SSH"},
		{"admin", inv.Admin, "without_rule", inv.WithoutRule, "networks without a rule could log in to the hosts by SSH"},
		{"without_rule", inv.WithoutRule, "clients", inv.Clients, "clients have a rule"},
	} {
		for i, a := range pair.a.prefixes() {
			for _, b := range pair.b.prefixes() {
				if a.Overlaps(b) {
					errs = append(errs, field.Errorf(fmt.Sprintf("%s[%d]", pair.path, i), "%s overlaps %s in %s: %s; separate them", a, b, pair.other, pair.why))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// destinationName is the form of a destination's name, which becomes part of a comment in the rules.
var destinationName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}$`)

func (inv *Inventory) validateDestinations() error {
	var errs []error
	bad := func(path, format string, args ...any) { errs = append(errs, field.Errorf(path, format, args...)) }
	for i, d := range inv.Destinations {
		at := fmt.Sprintf("destinations[%d]", i)
		if !destinationName.MatchString(d.Name) {
			bad(at+".name", "give a name of 1 to 60 letters, digits, spaces and . _ -")
		}
		if slices.ContainsFunc(inv.Destinations[:i], func(other Destination) bool { return other.Name == d.Name }) {
			bad(at+".name", "is used twice; give each destination its own name")
		}
		if len(d.Networks) == 0 {
			bad(at+".networks", "missing: the addresses of the destination")
		}
		if d.Protocol != TCP && d.Protocol != UDP {
			bad(at+".protocol", "must be tcp or udp")
		}
		if len(d.From) == 0 {
			bad(at+".from", "missing: the hosts that need it, [service], [cassandra] or both")
		}
		for j, from := range d.From {
			if !from.IsValid() {
				bad(fmt.Sprintf("%s.from[%d]", at, j), "must be service or cassandra")
			}
		}
		errs = append(errs, d.Networks.validate(at+".networks"), validatePort(at+".port", d.Port))
	}
	return errors.Join(errs...)
}

func (inv *Inventory) validateDatacentres() error {
	if len(inv.Datacentres) == 0 {
		return field.Errorf("datacentres", "missing: list all datacentres of the cluster, with their hosts")
	}
	var errs []error
	bad := func(path, format string, args ...any) { errs = append(errs, field.Errorf(path, format, args...)) }
	seen := make(map[netip.Prefix]bool)
	names := make(map[string]bool)
	for i, dc := range inv.Datacentres {
		at := fmt.Sprintf("datacentres[%d]", i)
		if dc.Name == "" || names[dc.Name] {
			bad(at+".name", "give each datacentre its own name, as `nodetool status` prints it")
		}
		names[dc.Name] = true
		if len(dc.Services) == 0 {
			bad(at+".services", "missing: the hosts of the service in this datacentre")
		}
		if len(dc.Cassandra) == 0 {
			bad(at+".cassandra", "missing: the nodes of Cassandra in this datacentre")
		}
		errs = append(errs, dc.Services.validate(at+".services"))
		for j, node := range dc.Cassandra {
			nodeAt := fmt.Sprintf("%s.cassandra[%d]", at, j)
			if node.Name != "" && names["node "+node.Name] {
				bad(nodeAt+".name", "is used twice; give each node its own name")
			}
			names["node "+node.Name] = true
			errs = append(errs, node.validate(nodeAt, seen))
		}
	}
	return errors.Join(append(errs, inv.validateTasks(seen))...)
}

// validate checks one node. seen holds the addresses of the nodes before it.
func (n Node) validate(at string, seen map[netip.Prefix]bool) error {
	if len(n.Addresses) == 0 {
		return field.Errorf(at+".addresses", "missing: the addresses of the node")
	}
	if err := n.Addresses.validate(at + ".addresses"); err != nil {
		return err
	}
	var errs []error
	for i, p := range n.Addresses.prefixes() {
		path := fmt.Sprintf("%s.addresses[%d]", at, i)
		if !p.IsSingleIP() {
			errs = append(errs, field.Errorf(path, "%s is a network; give the address of one node", p))
		}
		if seen[p] {
			errs = append(errs, field.Errorf(path, "%s is the address of two nodes; remove one", p.Addr()))
		}
		seen[p] = true
	}
	return errors.Join(errs...)
}

// validateTasks rejects a host of the service that is also a node: each host gets the rules of one task.
func (inv *Inventory) validateTasks(nodes map[netip.Prefix]bool) error {
	var errs []error
	for i, dc := range inv.Datacentres {
		for j, p := range dc.Services.prefixes() {
			if nodes[p] {
				errs = append(errs, field.Errorf(fmt.Sprintf("datacentres[%d].services[%d]", i, j), "%s is a node of Cassandra too; the rules are for hosts with one task, so give the service a host of its own", p.Addr()))
			}
		}
	}
	return errors.Join(errs...)
}

func validatePort(path string, port int) error {
	if port < 1 || port > 65535 {
		return field.Errorf(path, "must be from 1 to 65535")
	}
	return nil
}
