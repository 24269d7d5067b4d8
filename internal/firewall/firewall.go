// Package firewall makes the firewall rules of the service's hosts and of Cassandra's hosts, from the configuration of the
// service and an inventory of hosts and networks.
//
//	configuration ─┐
//	               ├─New─▶ Rules ──▶ NFTables, NetworkPolicy
//	inventory ─────┘
//
// Invariants:
//
//  1. What no rule allows is dropped, in both directions. A host also drops what it would forward.
//  2. Rules and configuration agree. New refuses an inventory that lacks a network, a node or a datacentre that the configuration
//     names, so that no rule keeps out somebody whom the configuration lets in.
//  3. A rule names networks with at least 8 bits, or 16 of public IPv6 addresses, never every address.
//  4. The service's hosts reach the Cassandra nodes of their own datacentre only, because the service uses no others.
//  5. The same input gives the same output. nft loads it at once or not at all, and it replaces only the table userinfo.
//  6. Both formats come from the same Rules.
//
// The package does not defend against hosts that send with the address of another host: the network must refuse that. It does
// not end connections that exist when the rules are loaded. It does not look up names: contact points that are names must stand
// in the inventory.
package firewall

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"userinfo/internal/config"
	"userinfo/internal/field"
)

// Hosts is the task of the hosts that rules are for.
type Hosts string

// The tasks of hosts.
const (
	Service   Hosts = "service"   // hosts or pods of the service
	Cassandra Hosts = "cassandra" // nodes of Cassandra
)

// IsValid reports whether h is one of the tasks above.
func (h Hosts) IsValid() bool { return h == Service || h == Cassandra }

// Protocol is a transport protocol.
type Protocol string

// The protocols of rules.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// internodePorts are the ports on which Cassandra's nodes talk to each other, without and with TLS.
var internodePorts = []int{7000, 7001}

// Rules are the rules of all hosts with one task in one datacentre.
type Rules struct {
	Hosts      Hosts
	Datacentre string
	In, Out    []Rule // connections to the hosts, and from them

	kubernetes Kubernetes
}

// Rule allows connections between the hosts and their peers.
type Rule struct {
	Peers     string // name of the peers: one word of a-z, 0-9 and _
	Comment   string // what the connections are for
	Protocol  Protocol
	Ports     []int // of the side that accepts the connection
	Networks  []netip.Prefix
	Selectors []Selector // peers that are pods, for network policies only
	HostOnly  bool       // the rule is for hosts, not for pods
}

// New returns the rules for hosts in the datacentre of the configuration. Its error has file and line of each mistake. It fails
// closed: without any peer of the service there are no rules, and a network that is not in the inventory gets no access.
func New(c *config.File, inv *Inventory, hosts Hosts) (Rules, error) {
	port, err := compare(c.Config, inv)
	if err != nil {
		return Rules{}, c.Locate(err)
	}
	local, _ := inv.datacentre(c.Cassandra.LocalDatacentre)
	r := Rules{Hosts: hosts, Datacentre: local.Name, kubernetes: inv.Kubernetes}
	if hosts == Service {
		r.In = inv.toService(port)
		r.Out = []Rule{{Peers: "cassandra", Comment: "Cassandra, this datacentre", Protocol: TCP, Ports: []int{c.Cassandra.Port}, Networks: local.nodes()}}
	} else {
		nodes := Rule{Peers: "nodes", Comment: "nodes among each other, all datacentres", Protocol: TCP, Ports: internodePorts, Networks: inv.nodes()}
		r.In = []Rule{{Peers: "services", Comment: "the service, this datacentre", Protocol: TCP, Ports: []int{c.Cassandra.Port}, Networks: local.Services.prefixes()}, nodes}
		r.Out = []Rule{nodes}
	}
	r.In = append(r.In, inv.toEveryHost()...)
	r.Out = append(r.Out, inv.fromEveryHost(hosts)...)
	return r, nil
}

// toService returns the rules for the port of the service.
func (inv *Inventory) toService(port int) []Rule {
	var all []Rule
	for _, r := range []Rule{
		{Peers: "clients", Comment: "clients", Networks: inv.Clients.prefixes(), Selectors: inv.Kubernetes.Clients},
		{Peers: "proxies", Comment: "proxies in front of the service", Networks: inv.Proxies.prefixes()},
		{Peers: "monitoring", Comment: "monitoring reads /metrics", Networks: inv.Monitoring.prefixes(), Selectors: inv.Kubernetes.Monitoring},
	} {
		r.Protocol, r.Ports = TCP, []int{port}
		if len(r.Networks)+len(r.Selectors) > 0 {
			all = append(all, r)
		}
	}
	return all
}

// toEveryHost returns the rules for connections to hosts of every task.
func (inv *Inventory) toEveryHost() []Rule {
	var all []Rule
	if len(inv.ExporterPorts) > 0 {
		all = append(all, Rule{Peers: "monitoring", Comment: "monitoring reads exporters", Protocol: TCP, Ports: inv.ExporterPorts, Networks: inv.Monitoring.prefixes(), HostOnly: true})
	}
	return append(all, Rule{Peers: "admin", Comment: "operators, SSH", Protocol: TCP, Ports: []int{inv.SSHPort}, Networks: inv.Admin.prefixes(), HostOnly: true})
}

// fromEveryHost returns the rules for connections from hosts of a task to what the configuration does not name.
func (inv *Inventory) fromEveryHost(hosts Hosts) []Rule {
	all := []Rule{
		{Peers: "dns", Comment: "DNS", Protocol: UDP, Ports: []int{53}, Networks: inv.DNS.prefixes(), Selectors: inv.Kubernetes.DNS},
		{Peers: "dns", Comment: "DNS, long answers", Protocol: TCP, Ports: []int{53}, Networks: inv.DNS.prefixes(), Selectors: inv.Kubernetes.DNS},
		{Peers: "ntp", Comment: "NTP", Protocol: UDP, Ports: []int{123}, Networks: inv.NTP.prefixes()},
	}
	for i, d := range inv.Destinations {
		if slices.Contains(d.From, hosts) {
			all = append(all, Rule{Peers: fmt.Sprintf("destination_%d", i+1), Comment: d.Name, Protocol: d.Protocol, Ports: []int{d.Port}, Networks: d.Networks.prefixes()})
		}
	}
	return all
}

// datacentre returns the datacentre called name.
func (inv *Inventory) datacentre(name string) (Datacentre, bool) {
	for _, dc := range inv.Datacentres {
		if dc.Name == name {
			return dc, true
		}
	}
	return Datacentre{}, false
}

// nodes returns the addresses of the nodes of the datacentre.
func (dc Datacentre) nodes() []netip.Prefix {
	var all []netip.Prefix
	for _, n := range dc.Cassandra {
		all = append(all, n.Addresses.prefixes()...)
	}
	return all
}

// nodes returns the addresses of all nodes.
func (inv *Inventory) nodes() []netip.Prefix {
	var all []netip.Prefix
	for _, dc := range inv.Datacentres {
		all = append(all, dc.nodes()...)
	}
	return all
}

// compare checks that the inventory has everything that the configuration names, and returns the port of the service. Each
// error is a *field.Error of the configuration.
func compare(c *config.Config, inv *Inventory) (port int, err error) {
	port, err = listenPort(c.Listen)
	return port, errors.Join(err, inv.compareCassandra(c.Cassandra), inv.compareProxies(c.Proxies), inv.compareTracing(c.Tracing), inv.compareNetworks(c))
}

// listenPort returns the port of the address that the service listens on.
func listenPort(listen string) (int, error) {
	host, text, err := net.SplitHostPort(listen)
	if err != nil {
		return 0, field.Errorf("listen", "give host:port, such as 0.0.0.0:8443")
	}
	port, err := net.LookupPort("tcp", text)
	if err != nil || port == 0 {
		return 0, field.Errorf("listen", "the port is not a number from 1 to 65535, so no rule can name it")
	}
	if addr, err := netip.ParseAddr(host); host == "localhost" || err == nil && addr.IsLoopback() {
		return 0, field.Errorf("listen", "is an address that no other host reaches, so rules for clients would be useless; listen on an address of the network")
	}
	return port, nil
}

// compareCassandra checks that the inventory has the datacentres and the contact points of the configuration.
func (inv *Inventory) compareCassandra(c config.Cassandra) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Replication)) {
		if _, ok := inv.datacentre(name); !ok {
			errs = append(errs, field.Errorf("cassandra.replication", "the inventory has no datacentre %q, so its nodes could not talk to the others; add it to datacentres", name))
		}
	}
	local, ok := inv.datacentre(c.LocalDatacentre)
	if !ok {
		return errors.Join(append(errs, field.Errorf("cassandra.local_datacentre", "the inventory has no datacentre of this name; add it to datacentres"))...)
	}
	for i, host := range c.Hosts {
		path := fmt.Sprintf("cassandra.hosts[%d]", i)
		switch {
		case slices.ContainsFunc(local.Cassandra, func(n Node) bool { return n.is(host) }):
		case slices.ContainsFunc(inv.Datacentres, func(dc Datacentre) bool {
			return slices.ContainsFunc(dc.Cassandra, func(n Node) bool { return n.is(host) })
		}):
			errs = append(errs, field.Errorf(path, "is a node of another datacentre in the inventory; name contact points in %s", c.LocalDatacentre))
		default:
			errs = append(errs, field.Errorf(path, "is no node in the inventory, so the service could not reach it; add its name or its address to cassandra of datacentre %s", c.LocalDatacentre))
		}
	}
	return errors.Join(errs...)
}

// is reports whether host is the name or an address of the node.
func (n Node) is(host string) bool {
	if n.Name != "" && n.Name == host {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && slices.Contains(n.Addresses.prefixes(), netip.PrefixFrom(addr, addr.BitLen()))
}

// compareProxies checks that the inventory has the proxies of the configuration.
func (inv *Inventory) compareProxies(p config.Proxies) error {
	var errs []error
	for i, source := range p.ProxyProtocol {
		network, err := netip.ParsePrefix(source.Network)
		if err != nil || !covers(inv.Proxies.prefixes(), network) {
			errs = append(errs, field.Errorf(fmt.Sprintf("proxies.proxy_protocol[%d].network", i), "is not in proxies of the inventory, so these proxies could not reach the service; add it there"))
		}
	}
	if len(p.Certificates) > 0 && len(inv.Proxies) == 0 {
		errs = append(errs, field.Errorf("proxies.certificates", "the inventory lists no proxies, so these proxies could not reach the service; add their addresses to proxies"))
	}
	return errors.Join(errs...)
}

// compareTracing checks that the service's hosts may connect to the collector of the configuration.
func (inv *Inventory) compareTracing(t config.Tracing) error {
	u, err := url.Parse(t.Endpoint)
	if err != nil || !t.IsOn() || u.Scheme == "http" { // http is for a collector on the host itself
		return err
	}
	port := cmp.Or(u.Port(), "443")
	addr, err := netip.ParseAddr(u.Hostname())
	isAddr := err == nil
	for _, d := range inv.Destinations {
		if d.Protocol == TCP && strconv.Itoa(d.Port) == port && slices.Contains(d.From, Service) &&
			(d.Host == u.Hostname() || isAddr && covers(d.Networks.prefixes(), netip.PrefixFrom(addr, addr.BitLen()))) {
			return nil
		}
	}
	return field.Errorf("tracing.endpoint", "is no destination of the service's hosts in the inventory, so no span could be sent; add the collector to destinations, with its host, its networks, port %s and from: [service]", port)
}

// compareNetworks checks that the inventory has the networks that access rules and tokens name.
func (inv *Inventory) compareNetworks(c *config.Config) error {
	listed := slices.Concat(inv.Clients, inv.Proxies, inv.Monitoring, inv.WithoutRule).prefixes()
	var errs []error
	check := func(path string, networks []string) {
		for i, text := range networks {
			p, err := netip.ParsePrefix(text)
			if err != nil || !p.Addr().IsLoopback() && !covers(listed, p) {
				errs = append(errs, field.Errorf(fmt.Sprintf("%s[%d]", path, i), "%s is not (wholly) in a list of the inventory, so the rules would keep it out; add it to clients or monitoring, "+
					"or to without_rule if it comes through a proxy only, or narrow it here", p))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Audiences)) {
		for i, alternative := range c.Audiences[name] {
			check(fmt.Sprintf("audiences.%s[%d].network", name, i), alternative.Network)
		}
	}
	for i, client := range c.Clients {
		for j, token := range client.Tokens {
			check(fmt.Sprintf("clients[%d].tokens[%d].networks", i, j), token.Networks)
		}
	}
	return errors.Join(errs...)
}
