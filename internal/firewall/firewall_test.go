package firewall

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"userinfo/internal/config"
)

const exampleConfig = "../../deploy/userinfo.yaml"

var update = flag.Bool("update", false, "write the files of testdata")

// configText is a valid configuration that agrees with the inventory minimal.
const configText = `listen: 0.0.0.0:8443
tls: {certificate: server.crt, key: server.key}
cassandra:
  hosts: [cassandra1.example, 10.5.0.1]
  local_datacentre: dc1
  replication: {dc1: 1}
  username: userinfo
  password_file: password
  tls: {ca: ca.crt}
collections:
  - name: sessions
clients:
  - name: wiki
    tokens: [{sha256: 0000000000000000000000000000000000000000000000000000000000000000, networks: [10.1.2.0/24]}]
    grants: [sessions:get]
    keys: ["*"]
seal: {index_key: index.key, keys: [seal.key]}
audiences: {sessions: [{token: true, network: [10.1.0.0/16]}], metrics: [{network: [127.0.0.0/8]}]}
proxies: {}
`

func parseConfig(t *testing.T, text string) *config.File {
	t.Helper()
	c, err := config.Parse("u.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// example returns the rules of the examples in deploy.
func example(t *testing.T, hosts Hosts) Rules {
	t.Helper()
	c, err := config.Load(exampleConfig)
	if err != nil {
		t.Fatal(err)
	}
	inv, err := Load(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(c, inv, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantFile compares text with a file of testdata.
func wantFile(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the output differs from %s (go test ./internal/firewall -update writes it):\n%s", file, text)
	}
}

// withDestination returns the inventory minimal with a destination.
func withDestination(fields string) string {
	return strings.Replace(minimal, "admin:", "destinations: [{name: a, "+fields+"}]\nadmin:", 1)
}

func TestNew_AcceptsCollectorThatIsDestination(t *testing.T) {
	for endpoint, inventory := range map[string]string{
		"https://collector.example:4318": withDestination("host: collector.example, networks: [10.7.0.1], port: 4318, from: [service]"),
		"https://10.7.0.1:4318":          withDestination("networks: [10.7.0.0/24], port: 4318, from: [service, cassandra]"),
		"https://10.7.0.1":               withDestination("networks: [10.7.0.1], port: 443, from: [service]"),
		"http://127.0.0.1:4318":          minimal,
	} {
		text := strings.Replace(configText, "proxies: {}", "tracing: {endpoint: '"+endpoint+"'}", 1)
		if _, err := New(parseConfig(t, text), parse(t, inventory), Service); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestNew_RefusesWhatInventoryLacks(t *testing.T) {
	const proxies = "proxies: {proxy_protocol: [{network: 10.7.0.1/32}]}"
	for _, c := range []struct{ name, old, new, inventory, want string }{
		{"the network of a token", "10.1.2.0/24", "10.9.2.0/24", minimal, "u.yaml:14: clients[0].tokens[0].networks[0]: 10.9.2.0/24 is not (wholly) in a list of the inventory"},
		{"a part of an audience's network", "[10.1.0.0/16]", "[10.0.0.0/15]", minimal, "u.yaml:18: audiences.sessions[0].network[0]: 10.0.0.0/15 is not (wholly)"},
		{"every address", "[10.1.0.0/16]", "[0.0.0.0/0]", minimal, "u.yaml:18: audiences.sessions[0].network[0]: 0.0.0.0/0 is not (wholly)"},
		{"a contact point's name", "[cassandra1.example,", "[cassandra9.example,", minimal, "u.yaml:4: cassandra.hosts[0]: is no node in the inventory"},
		{"a contact point's address", "10.5.0.1]", "10.5.0.9]", minimal, "u.yaml:4: cassandra.hosts[1]: is no node in the inventory"},
		{"a contact point in another datacentre", "10.5.0.1]", "10.6.0.1]", minimal + "  - {name: dc2, services: [10.4.0.2], cassandra: [{addresses: [10.6.0.1]}]}\n",
			"u.yaml:4: cassandra.hosts[1]: is a node of another datacentre"},
		{"the local datacentre", "local_datacentre: dc1\n  replication: {dc1: 1}", "local_datacentre: dc9", minimal, "u.yaml:5: cassandra.local_datacentre: the inventory has no datacentre of this name"},
		{"another datacentre", "{dc1: 1}", "{dc1: 1, dc2: 1}", minimal, `u.yaml:6: cassandra.replication: the inventory has no datacentre "dc2"`},
		{"a proxy", "proxies: {}", proxies, minimal, "u.yaml:19: proxies.proxy_protocol[0].network: is not in proxies of the inventory"},
		{"a proxy in another list", "proxies: {}", proxies, strings.Replace(minimal, "admin:", "without_rule: [10.7.0.1]\nadmin:", 1), "u.yaml:19: proxies.proxy_protocol[0].network: is not in proxies"},
		{"the address of a proxy that is known by its certificate", "key: server.key}", "key: server.key, client_ca: ca.crt}", minimal, ""},
		{"a listener that nobody reaches", "0.0.0.0:8443", "127.0.0.1:8443", minimal, "u.yaml:1: listen: is an address that no other host reaches"},
		{"a listener that nobody reaches, over IPv6", "0.0.0.0:8443", `"[::1]:8443"`, minimal, "u.yaml:1: listen: is an address that no other host reaches"},
		{"a collector", "proxies: {}", "tracing: {endpoint: 'https://collector.example:4318'}", minimal, "u.yaml:19: tracing.endpoint: is no destination of the service's hosts in the inventory"},
		{"a collector for other hosts", "proxies: {}", "tracing: {endpoint: 'https://collector.example:4318'}", withDestination("host: collector.example, networks: [10.7.0.1], port: 4318, from: [cassandra]"), "u.yaml:19: tracing.endpoint: is no destination"},
		{"another port of a collector", "proxies: {}", "tracing: {endpoint: 'https://10.7.0.1'}", withDestination("networks: [10.7.0.1], port: 4318, from: [service]"), "u.yaml:19: tracing.endpoint: is no destination"},
		{"a port that is not known", "0.0.0.0:8443", "0.0.0.0:0", minimal, "u.yaml:1: listen: the port is not a number from 1 to 65535"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(configText, c.old) {
				t.Fatalf("%q is not in the configuration", c.old)
			}
			text := strings.Replace(configText, c.old, c.new, 1)
			if c.want == "" { // a proxy that is known by its certificate needs a CA
				text = strings.Replace(text, "proxies: {}", "proxies: {certificates: [{cn: edge}]}", 1)
				c.want = "u.yaml:19: proxies.certificates: the inventory lists no proxies"
			}
			for _, hosts := range []Hosts{Service, Cassandra} {
				r, err := New(parseConfig(t, text), parse(t, c.inventory), hosts)
				if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Count(err.Error(), "u.yaml:") != 1 {
					t.Errorf("%s: got\n%v\nwant one mistake that begins with\n%s", hosts, err, c.want)
				}
				if r.In != nil || r.Out != nil {
					t.Errorf("%s: got rules all the same: %+v", hosts, r)
				}
			}
		})
	}
}

// TestNew_RulesFollowConfigurationAndInventory checks that a change of a port or a network changes the rules.
func TestNew_RulesFollowConfigurationAndInventory(t *testing.T) {
	text := strings.NewReplacer("0.0.0.0:8443", "'[2001:db8::1]:9443'", "  replication:", "  port: 9142\n  replication:").Replace(configText)
	inventory := strings.Replace(minimal, "admin:", "ssh_port: 2222\nadmin:", 1)
	for hosts, want := range map[Hosts][]string{
		Service: {
			"ip saddr @clients_ipv4 tcp dport 9443 accept", "ip saddr @admin_ipv4 tcp dport 2222 accept", "ip daddr @cassandra_ipv4 tcp dport 9142 accept",
			"ip daddr @dns_ipv4 udp dport 53 accept", "ip daddr @dns_ipv4 tcp dport 53 accept", "ip daddr @ntp_ipv4 udp dport 123 accept",
		},
		Cassandra: {
			"ip saddr @services_ipv4 tcp dport 9142 accept", "ip saddr @nodes_ipv4 tcp dport { 7000, 7001 } accept", "ip saddr @admin_ipv4 tcp dport 2222 accept",
			"ip daddr @nodes_ipv4 tcp dport { 7000, 7001 } accept",
			"ip daddr @dns_ipv4 udp dport 53 accept", "ip daddr @dns_ipv4 tcp dport 53 accept", "ip daddr @ntp_ipv4 udp dport 123 accept",
		},
	} {
		r, err := New(parseConfig(t, text), parse(t, inventory), hosts)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, line := range strings.Split(r.NFTables("x"), "\n") {
			if strings.Contains(line, "addr @") {
				rule, _, _ := strings.Cut(strings.TrimSpace(line), " comment")
				have = append(have, rule)
			}
		}
		if !slices.Equal(have, want) {
			t.Errorf("%s: the rules are\n  %s\nwant\n  %s", hosts, strings.Join(have, "\n  "), strings.Join(want, "\n  "))
		}
	}
}

func TestNew_ServiceReachesItsOwnDatacentreOnly(t *testing.T) {
	text := example(t, Service).NFTables("x")
	for _, node := range []string{"10.64.1.1", "2001:db8:64:1::3"} {
		if !strings.Contains(text, node+",") {
			t.Errorf("the service does not reach %s", node)
		}
	}
	for _, node := range []string{"10.192.1.1", "2001:db8:192:1::1"} {
		if strings.Contains(text, node) {
			t.Errorf("the service reaches %s of another datacentre", node)
		}
	}
}
