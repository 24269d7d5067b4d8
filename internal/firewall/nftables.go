package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Lines of every rule set. IPv6 needs its neighbour messages. Errors of ICMP, also those that IPv6 needs to find the size of
// packets, belong to a connection, so they are "related".
const (
	inputAlways = `		iifname "lo" accept comment "this host itself"
		ct state established,related accept comment "answers, and ICMP errors about them"
		icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept comment "IPv6 neighbours"
		icmpv6 type mld-listener-query ip6 saddr fe80::/10 accept comment "IPv6 multicast, for switches"
`
	outputAlways = `		oifname "lo" accept comment "this host itself"
		ct state established,related accept comment "answers, and ICMP errors about them"
		icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept comment "IPv6 neighbours"
		icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept comment "IPv6 multicast, for switches"
`
)

// NFTables returns the rules as a file for `nft -f`. source says in a comment what they were made from. It fails closed: the
// policy of every chain is drop.
func (r Rules) NFTables(source string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `#!/usr/sbin/nft -f
# Firewall of the %s hosts of UserInfo in datacentre %s.
# Made by `+"`userinfo firewall print`"+` from %s.
# Do not edit it: change the inventory or the configuration and print it again.
#
# nft loads this file at once or not at all. It replaces the table userinfo and touches no other table. What is not accepted
# here is dropped. The counters say how much: nft list table inet userinfo

table inet userinfo
delete table inet userinfo

table inet userinfo {
`, r.Hosts, strconv.Quote(r.Datacentre), strconv.Quote(source))
	r.writeSets(&b)
	writeChain(&b, "input", inputAlways, "saddr", r.In)
	writeChain(&b, "forward", "", "", nil)
	writeChain(&b, "output", outputAlways, "daddr", r.Out)
	return strings.TrimSuffix(b.String(), "\n") + "}\n"
}

// family is IPv4 or IPv6 in the language of nft.
type family struct {
	keyword  string // in a match
	suffix   string // of the names of sets
	elements string // type of the elements of sets
}

var families = [2]family{{"ip", "_ipv4", "ipv4_addr"}, {"ip6", "_ipv6", "ipv6_addr"}}

// writeSets writes one set of addresses for the peers of each family.
func (r Rules) writeSets(b *strings.Builder) {
	written := make(map[string]bool)
	for _, rule := range slices.Concat(r.In, r.Out) {
		if written[rule.Peers] {
			continue
		}
		written[rule.Peers] = true
		for i, networks := range rule.byFamily() {
			if len(networks) == 0 {
				continue
			}
			fmt.Fprintf(b, "\tset %s%s {\n\t\ttype %s\n\t\tflags interval\n\t\telements = {\n", rule.Peers, families[i].suffix, families[i].elements)
			for _, n := range networks {
				fmt.Fprintf(b, "\t\t\t%s,\n", element(n))
			}
			fmt.Fprint(b, "\t\t}\n\t}\n\n")
		}
	}
}

// byFamily returns the networks of the rule in the order of families.
func (r Rule) byFamily() [2][]netip.Prefix {
	ipv4, ipv6 := split(r.Networks)
	return [2][]netip.Prefix{ipv4, ipv6}
}

// writeChain writes a chain that drops what it does not accept.
func writeChain(b *strings.Builder, hook, always, side string, rules []Rule) {
	fmt.Fprintf(b, "\tchain %s {\n\t\ttype filter hook %[1]s priority filter; policy drop;\n%s", hook, always)
	for _, r := range rules {
		for i, networks := range r.byFamily() {
			if len(networks) > 0 {
				fmt.Fprintf(b, "\t\t%s %s @%s%s %s dport %s accept comment %q\n", families[i].keyword, side, r.Peers, families[i].suffix, r.Protocol, ports(r.Ports), r.Comment)
			}
		}
	}
	fmt.Fprint(b, "\t\tcounter comment \"dropped\"\n\t}\n\n")
}

// ports returns ports in the language of nft.
func ports(all []int) string {
	if len(all) == 1 {
		return strconv.Itoa(all[0])
	}
	var texts []string
	for _, p := range all {
		texts = append(texts, strconv.Itoa(p))
	}
	return "{ " + strings.Join(texts, ", ") + " }"
}
