//go:build integration

// Package firewall tests the rules that `userinfo firewall print` prints, by trying to get through. Each host is a network
// namespace of its own. Every connection is tried over IPv4 and IPv6: without rules, where all succeed, with the rules, and with
// each single rule left out. It needs root, ip and nft.
package firewall

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"userinfo/internal/config"
	"userinfo/internal/e2e/devserver"
	rules "userinfo/internal/firewall"
)

const (
	configFile    = "testdata/userinfo.yaml"
	inventoryFile = "testdata/inventory.yaml"
)

const (
	// patience is how long a connection that must succeed may take.
	patience = 10 * time.Second
	// silenceTimeout is how long a connection that must fail is tried. An answer takes less than 1 ms.
	silenceTimeout = 500 * time.Millisecond
)

// probe is a connection that the test tries.
type probe struct {
	from, to string
	protocol string
	port     int
	rule     string // the comment of the rule that allows it; empty if it is forbidden
}

func (p probe) String() string {
	return fmt.Sprintf("%s to %s, %s %d", p.from, p.to, p.protocol, p.port)
}

const itself = "this host itself"

// serviceProbes are connections to and from service1.
var serviceProbes = []probe{
	{"client", "service1", "tcp", 8443, "clients"},
	{"proxy", "service1", "tcp", 8443, "proxies in front of the service"},
	{"monitor", "service1", "tcp", 8443, "monitoring reads /metrics"},
	{"outsider", "service1", "tcp", 8443, ""},
	{"proxied", "service1", "tcp", 8443, ""},
	{"operator", "service1", "tcp", 8443, ""},
	{"node1", "service1", "tcp", 8443, ""},
	{"service2", "service1", "tcp", 8443, ""},
	{"dns", "service1", "tcp", 8443, ""},
	{"client", "service1", "udp", 8443, ""},
	{"monitor", "service1", "tcp", 9100, "monitoring reads exporters"},
	{"client", "service1", "tcp", 9100, ""},
	{"outsider", "service1", "tcp", 9100, ""},
	{"operator", "service1", "tcp", 22, "operators, SSH"},
	{"client", "service1", "tcp", 22, ""},
	{"proxy", "service1", "tcp", 22, ""},
	{"monitor", "service1", "tcp", 22, ""},
	{"outsider", "service1", "tcp", 22, ""},
	{"client", "service1", "tcp", 9042, ""},
	{"operator", "service1", "tcp", 9042, ""},
	{"dns", "service1", "udp", 53, ""},
	{"ntp", "service1", "udp", 123, ""},
	{"outsider", "service1", "udp", 53, ""},

	{"service1", "node1", "tcp", 9042, "Cassandra, this datacentre"},
	{"service1", "node2", "tcp", 9042, "Cassandra, this datacentre"},
	{"service1", "node3", "tcp", 9042, ""},
	{"service1", "outsider", "tcp", 9042, ""},
	{"service1", "node1", "tcp", 7000, ""},
	{"service1", "node1", "tcp", 7199, ""},
	{"service1", "node1", "udp", 9042, ""},
	{"service1", "dns", "udp", 53, "DNS"},
	{"service1", "dns", "tcp", 53, "DNS, long answers"},
	{"service1", "outsider", "udp", 53, ""},
	{"service1", "outsider", "tcp", 53, ""},
	{"service1", "ntp", "udp", 53, ""},
	{"service1", "ntp", "udp", 123, "NTP"},
	{"service1", "outsider", "udp", 123, ""},
	{"service1", "ntp", "tcp", 123, ""},
	{"service1", "collector", "tcp", 4317, "collector of traces"},
	{"service1", "outsider", "tcp", 4317, ""},
	{"service1", "mirror", "udp", 514, "log server"},
	{"service1", "outsider", "udp", 514, ""},
	{"service1", "mirror", "tcp", 443, ""}, // for Cassandra's hosts only
	{"service1", "outsider", "tcp", 443, ""},
	{"service1", "client", "tcp", 8443, ""},
	{"service1", "service2", "tcp", 22, ""},

	{"service1", "service1", "tcp", 8443, itself},
	{"outsider", "beyond", "tcp", 443, ""},
}

// cassandraProbes are connections to and from node1.
var cassandraProbes = []probe{
	{"service1", "node1", "tcp", 9042, "the service, this datacentre"},
	{"service2", "node1", "tcp", 9042, "the service, this datacentre"},
	{"service3", "node1", "tcp", 9042, ""},
	{"node2", "node1", "tcp", 9042, ""},
	{"client", "node1", "tcp", 9042, ""},
	{"operator", "node1", "tcp", 9042, ""},
	{"monitor", "node1", "tcp", 9042, ""},
	{"outsider", "node1", "tcp", 9042, ""},
	{"node2", "node1", "tcp", 7000, nodes},
	{"node2", "node1", "tcp", 7001, nodes},
	{"node3", "node1", "tcp", 7000, nodes},
	{"node3", "node1", "tcp", 7001, nodes},
	{"service1", "node1", "tcp", 7000, ""},
	{"outsider", "node1", "tcp", 7000, ""},
	{"operator", "node1", "tcp", 7000, ""},
	{"client", "node1", "tcp", 7001, ""},
	{"node2", "node1", "udp", 7000, ""},
	{"node2", "node1", "tcp", 7199, ""},
	{"operator", "node1", "tcp", 7199, ""},
	{"monitor", "node1", "tcp", 7199, ""},
	{"service1", "node1", "tcp", 7199, ""},
	{"outsider", "node1", "tcp", 7199, ""},
	{"monitor", "node1", "tcp", 9100, "monitoring reads exporters"},
	{"service1", "node1", "tcp", 9100, ""},
	{"operator", "node1", "tcp", 22, "operators, SSH"},
	{"service1", "node1", "tcp", 22, ""},
	{"node2", "node1", "tcp", 22, ""},
	{"outsider", "node1", "udp", 53, ""},

	{"node1", "node2", "tcp", 7000, nodes},
	{"node1", "node3", "tcp", 7001, nodes},
	{"node1", "outsider", "tcp", 7000, ""},
	{"node1", "outsider", "tcp", 7001, ""},
	{"node1", "service1", "tcp", 7000, ""},
	{"node1", "node2", "tcp", 9042, ""},
	{"node1", "node2", "tcp", 7199, ""},
	{"node1", "service1", "tcp", 8443, ""},
	{"node1", "dns", "udp", 53, "DNS"},
	{"node1", "dns", "tcp", 53, "DNS, long answers"},
	{"node1", "outsider", "udp", 53, ""},
	{"node1", "outsider", "tcp", 53, ""},
	{"node1", "ntp", "udp", 123, "NTP"},
	{"node1", "outsider", "udp", 123, ""},
	{"node1", "mirror", "tcp", 443, "mirror of packages"},
	{"node1", "outsider", "tcp", 443, ""},
	{"node1", "mirror", "udp", 514, "log server"},
	{"node1", "outsider", "udp", 514, ""},
	{"node1", "collector", "tcp", 4317, ""}, // for the service's hosts only

	{"node1", "node1", "tcp", 7199, itself},
	{"outsider", "beyond", "tcp", 443, ""},
}

const nodes = "nodes among each other, all datacentres"

func TestRules_OfService(t *testing.T) {
	testRules(t, rules.Service, "service1", serviceProbes)
}

func TestRules_OfCassandra(t *testing.T) {
	testRules(t, rules.Cassandra, "node1", cassandraProbes)
}

// testRules tries all probes. under is the host that has the rules.
func testRules(t *testing.T, kind rules.Hosts, under string, probes []probe) {
	out, err := exec.Command(devserver.Build(t), "firewall", "print", "--config", configFile, "--inventory", inventoryFile, "--for", string(kind)).Output()
	if err != nil {
		t.Fatalf("firewall print: %v", err)
	}
	text := string(out)
	l := newLAN(t, under)
	for _, p := range probes {
		l.listen(t, p.to, p.protocol, p.port)
	}
	t.Run("without rules every connection succeeds", func(t *testing.T) {
		l.tryAll(t, probes, func(probe, bool) bool { return true })
	})
	t.Run("nft loads the rules as a whole", func(t *testing.T) { testLoading(t, l, under, text) })
	t.Run("only allowed connections succeed", func(t *testing.T) {
		l.load(t, under, text)
		l.tryAll(t, probes, func(p probe, _ bool) bool { return p.rule != "" })
	})
	t.Run("each rule has a probe that it allows and a probe that it does not allow", func(t *testing.T) { testCoverage(t, kind, under, probes) })
	t.Run("without a rule, what only it allows fails", func(t *testing.T) { testEachRule(t, l, under, text, probes) })
	t.Run("a switch that filters multicast finds the host", func(t *testing.T) { testMulticast(t, l, under, text) })
}

// tryAll tries every probe over IPv4 and IPv6, all at the same time. want says which must succeed.
func (l *lan) tryAll(t *testing.T, probes []probe, want func(p probe, ipv6 bool) bool) {
	t.Helper()
	var all sync.WaitGroup
	for _, p := range probes {
		to := address(t, p.to)
		for _, at := range []string{to.ipv4, to.ipv6} {
			if at == "" {
				continue
			}
			succeeds := want(p, at == to.ipv6)
			all.Go(func() {
				wait := patience
				if !succeeds {
					wait = silenceTimeout
				}
				err := l.connect(p.from, p.protocol, at, p.port, wait)
				switch {
				case succeeds && err != nil:
					t.Errorf("%s at %s fails: %v", p, at, err)
				case !succeeds && err == nil:
					t.Errorf("%s at %s succeeds", p, at)
				case !succeeds && !errors.Is(err, errNoAnswer):
					t.Errorf("%s at %s: %v", p, at, err)
				}
			})
		}
	}
	all.Wait()
}

// testLoading checks that nft accepts the rules, also twice, that it leaves other tables alone, and that it changes nothing if a
// line is wrong.
func testLoading(t *testing.T, l *lan, under, text string) {
	if _, err := l.nft(t, under, text, "-c", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if out := l.rules(t, under); out != "" {
		t.Errorf("nft -c changed something:\n%s", out)
	}
	l.load(t, under, "table inet other {\n\tchain input {\n\t\ttype filter hook input priority 10; policy accept;\n\t}\n}\n")
	l.load(t, under, text)
	once := l.rules(t, under)
	if !strings.Contains(once, "table inet other") || !strings.Contains(once, "table inet userinfo") {
		t.Errorf("the rules did not come beside those of others:\n%s", once)
	}
	l.load(t, under, text)
	if twice := l.rules(t, under); twice != once {
		t.Errorf("the same rules, loaded twice, are\n%s\nnot\n%s", twice, once)
	}
	if _, err := l.nft(t, under, text+"table inet userinfo { chain input { nonsense } }\n", "-f", "-"); err == nil {
		t.Error("nft loads a file with a wrong line")
	}
	if after := l.rules(t, under); after != once {
		t.Errorf("a file with a wrong line changed the rules to\n%s", after)
	}
}

// rules returns all rules of a host, without handles and counters.
func (l *lan) rules(t *testing.T, host string) string {
	t.Helper()
	out, err := l.nft(t, host, "", "--stateless", "list", "ruleset")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// testCoverage checks that the probes try each port of each rule in its direction, once allowed and once forbidden.
func testCoverage(t *testing.T, kind rules.Hosts, under string, probes []probe) {
	c, err := config.Load(configFile)
	if err != nil {
		t.Fatal(err)
	}
	inventory, err := rules.Load(inventoryFile)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rules.New(c, inventory, kind)
	if err != nil {
		t.Fatal(err)
	}
	check := func(rule rules.Rule, in bool) {
		for _, port := range rule.Ports {
			has := func(name string) bool {
				return slices.ContainsFunc(probes, func(p probe) bool {
					return p.rule == name && p.protocol == string(rule.Protocol) && p.port == port && (in && p.to == under || !in && p.from == under)
				})
			}
			if !has(rule.Comment) || !has("") {
				t.Errorf("rule %q, port %d: an allowed probe %v, a forbidden one %v", rule.Comment, port, has(rule.Comment), has(""))
			}
		}
	}
	for _, rule := range r.In {
		check(rule, true)
	}
	for _, rule := range r.Out {
		check(rule, false)
	}
}

// multicast is the comment of the rules that testMulticast tries instead of a probe.
const multicast = "IPv6 multicast, for switches"

// testMulticast checks that a switch that filters multicast learns where the host is: that the host hears the switch's question and
// is heard. Without that, other hosts would not find it over IPv6.
func testMulticast(t *testing.T, l *lan, under, text string) {
	l.filterMulticast(t)
	l.load(t, under, text)
	l.awaitMember(t, under, true)
	for _, name := range []string{"mld-listener-query", "mld2-listener-report"} {
		lines := strings.SplitAfter(text, "\n")
		i := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, name) && strings.Contains(line, multicast) })
		if i < 0 {
			t.Fatalf("no rule is about %s", name)
		}
		l.load(t, under, strings.Join(slices.Delete(lines, i, i+1), ""))
		l.awaitMember(t, under, false)
		l.load(t, under, text)
		l.awaitMember(t, under, true)
	}
}

// testEachRule leaves out one rule after another. What only this rule allows must fail, everything else that is allowed must
// succeed.
func testEachRule(t *testing.T, l *lan, under, text string, probes []probe) {
	allowed := slices.DeleteFunc(slices.Clone(probes), func(p probe) bool { return p.rule == "" })
	lines := strings.SplitAfter(text, "\n")
	chain, tried := "", 0
	for i, line := range lines {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "chain "); ok {
			chain = strings.TrimSuffix(name, " {")
		}
		if !strings.Contains(line, " accept comment ") {
			continue
		}
		comment := strings.Split(line, `"`)[len(strings.Split(line, `"`))-2]
		if comment == multicast {
			continue
		}
		tried++
		without := strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")
		fails := failing(strings.TrimSpace(line), comment, chain, under)
		if !slices.ContainsFunc(allowed, func(p probe) bool { return fails(p, false) || fails(p, true) }) {
			t.Errorf("no probe needs %s", line)
		}
		t.Run(fmt.Sprintf("%s, line %d", chain, i+1), func(t *testing.T) {
			l.load(t, under, without)
			if strings.Contains(line, "icmpv6") {
				l.forgetNeighbours(t)
			}
			l.tryAll(t, allowed, func(p probe, ipv6 bool) bool { return !fails(p, ipv6) })
		})
	}
	if tried < 20 {
		t.Errorf("left out %d rules; this test does not see them", tried)
	}
}

// failing returns which of the allowed probes fail without a line.
func failing(line, comment, chain, under string) func(p probe, ipv6 bool) bool {
	switch {
	case comment == itself:
		return func(p probe, _ bool) bool { return p.from == p.to }
	case strings.HasPrefix(line, "ct state"): // the answers go in the other direction
		return func(p probe, _ bool) bool {
			return p.from != p.to && (chain == "input" && p.from == under || chain == "output" && p.to == under)
		}
	case strings.HasPrefix(line, "icmpv6"):
		return func(p probe, ipv6 bool) bool { return ipv6 && p.from != p.to }
	}
	return func(p probe, ipv6 bool) bool {
		return p.rule == comment && ipv6 == strings.HasPrefix(line, "ip6 ") && (chain == "input" && p.to == under || chain == "output" && p.from == under)
	}
}
