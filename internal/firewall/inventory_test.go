package firewall

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const exampleFile = "../../deploy/inventory.yaml"

// minimal is a valid inventory with the required fields only.
const minimal = `clients: [10.1.0.0/16]
admin: [10.2.0.0/24]
dns: [10.3.0.1]
ntp: [10.3.0.2]
datacentres:
  - name: dc1
    services: [10.4.0.1]
    cassandra: [{name: cassandra1.example, addresses: [10.5.0.1]}]
`

func parse(t *testing.T, text string) *Inventory {
	t.Helper()
	inv, err := Parse("i.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestParse_ReportsEachMistakeWithItsLine(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"an unknown field", "dns:", "dsn: [10.3.0.1]\ndns:", `i.yaml:3: there is no field "dsn" here; possible fields, most similar first: dns, `},
		{"an unknown field of a node", "name: cassandra1.example", "host: x", `i.yaml:8: datacentres[0].cassandra[0]: there is no field "host" here`},
		{"a field without a value", "ntp: [10.3.0.2]", "ntp:", "i.yaml:4: ntp: there is no value"},
		{"text instead of a list", "[10.3.0.2]", "10.3.0.2", "i.yaml:4: ntp: expected a list, found text"},
		{"no list", "ntp: [10.3.0.2]\n", "", "i.yaml:1: ntp: missing: the time servers"},
		{"an empty list", "dns: [10.3.0.1]", "dns: []", "i.yaml:3: dns: missing: the name servers"},
		{"no network of operators", "admin: [10.2.0.0/24]\n", "", "i.yaml:1: admin: missing: the networks from which operators log in by SSH"},
		{"nobody who may reach the service", "clients: [10.1.0.0/16]\n", "monitoring: [10.1.0.1]\n", "i.yaml:1: clients: missing: list the clients' networks, or proxies"},
		{"every IPv4 address", "10.1.0.0/16", "0.0.0.0/0", "i.yaml:1: clients[0]: 0.0.0.0/0 is almost every address"},
		{"every IPv6 address", "10.1.0.0/16", `"::/0"`, "i.yaml:1: clients[0]: ::/0 is almost every address"},
		{"half of the addresses", "10.1.0.0/16", "128.0.0.0/1", "i.yaml:1: clients[0]: 128.0.0.0/1 is almost every address"},
		{"the addresses of a continent", "10.1.0.0/16", `"2a00::/8"`, "i.yaml:1: clients[0]: 2a00::/8 is almost every address"},
		{"every IPv4 address in IPv6 notation", "10.1.0.0/16", `"2002::/16"`, "i.yaml:1: clients[0]: 2002::/16 is almost every address"},
		{"every IPv4 address behind NAT64", "10.1.0.0/16", `"64:ff9b::/96"`, "i.yaml:1: clients[0]: 64:ff9b::/96 is almost every address"},
		{"every address for operators", "10.2.0.0/24", "0.0.0.0/0", "i.yaml:2: admin[0]: 0.0.0.0/0 is almost every address"},
		{"bits after the prefix", "10.1.0.0/16", "10.1.2.3/16", "i.yaml:1: clients[0]: 10.1.2.3/16 has bits set after its prefix; did you mean 10.1.0.0/16?"},
		{"no network", "10.1.0.0/16", "wikis", "i.yaml:1: clients[0]: not a network"},
		{"a zone", "10.1.0.0/16", `"fe80::1%eth0"`, "i.yaml:1: clients[0]: not a network"},
		{"an IPv4 network in IPv6 notation", "10.1.0.0/16", `"::ffff:10.1.0.0/112"`, "i.yaml:1: clients[0]: an IPv4 network in IPv6 notation"},
		{"a loopback address", "10.5.0.1", "127.0.0.1", "i.yaml:8: datacentres[0].cassandra[0].addresses[0]: 127.0.0.1/32 is no address of another host"},
		{"a multicast address", "10.3.0.2", "224.0.1.1", "i.yaml:4: ntp[0]: 224.0.1.1/32 is no address of another host"},
		{"a link-local address", "10.3.0.2", `"fe80::1"`, "i.yaml:4: ntp[0]: fe80::1/128 is no address of another host"},
		{"networks that overlap", "[10.1.0.0/16]", "[10.1.0.0/16, 10.1.2.0/24]", "i.yaml:1: clients[1]: 10.1.2.0/24 overlaps 10.1.0.0/16 in the same list"},
		{"an address twice", "[10.3.0.1]", "[10.3.0.1, 10.3.0.1/32]", "i.yaml:3: dns[1]: 10.3.0.1/32 overlaps 10.3.0.1/32 in the same list"},
		{"operators among clients", "10.2.0.0/24", "10.1.5.0/24", "i.yaml:2: admin[0]: 10.1.5.0/24 overlaps 10.1.0.0/16 in clients: clients could log in"},
		{"a network with and without a rule", "admin:", "without_rule: [10.1.5.0/24]\nadmin:", "i.yaml:2: without_rule[0]: 10.1.5.0/24 overlaps 10.1.0.0/16 in clients"},
		{"a wrong port", "admin:", "ssh_port: 65536\nadmin:", "i.yaml:2: ssh_port: must be from 1 to 65535"},
		{"an exporter without monitoring", "admin:", "exporter_ports: [9100]\nadmin:", "i.yaml:2: exporter_ports: monitoring lists nobody"},
		{"an exporter twice", "admin:", "monitoring: [10.6.0.1]\nexporter_ports: [9100, 9100]\nadmin:", "i.yaml:3: exporter_ports[1]: is listed twice"},
		{"no datacentre", minimal[strings.Index(minimal, "datacentres"):], "", "i.yaml:1: datacentres: missing"},
		{"a datacentre without a name", "name: dc1", `name: ""`, "i.yaml:6: datacentres[0].name: give each datacentre its own name"},
		{"a datacentre without a service", "    services: [10.4.0.1]\n", "", "i.yaml:6: datacentres[0].services: missing"},
		{"a datacentre without nodes", "    cassandra: [{name: cassandra1.example, addresses: [10.5.0.1]}]\n", "", "i.yaml:6: datacentres[0].cassandra: missing"},
		{"a node without an address", ", addresses: [10.5.0.1]", "", "i.yaml:8: datacentres[0].cassandra[0].addresses: missing"},
		{"a network as a node", "[10.5.0.1]", "[10.5.0.0/24]", "i.yaml:8: datacentres[0].cassandra[0].addresses[0]: 10.5.0.0/24 is a network"},
		{"two nodes with one address", "}]", "}, {addresses: [10.5.0.1]}]", "i.yaml:8: datacentres[0].cassandra[1].addresses[0]: 10.5.0.1 is the address of two nodes"},
		{"two nodes with one name", "}]", "}, {name: cassandra1.example, addresses: [10.5.0.2]}]", "i.yaml:8: datacentres[0].cassandra[1].name: is used twice"},
		{"a host with two tasks", "[10.4.0.1]", "[10.5.0.1]", "i.yaml:7: datacentres[0].services[0]: 10.5.0.1 is a node of Cassandra too"},
		{"a destination without a name", "admin:", "destinations: [{networks: [10.6.0.1], port: 1, from: [service]}]\nadmin:", "i.yaml:2: destinations[0].name: give a name"},
		{"a destination that ends a comment", "admin:", "destinations: [{name: 'a\" accept', networks: [10.6.0.1], port: 1, from: [service]}]\nadmin:", "i.yaml:2: destinations[0].name: give a name"},
		{"a destination without a network", "admin:", "destinations: [{name: a, port: 1, from: [service]}]\nadmin:", "i.yaml:2: destinations[0].networks: missing"},
		{"a destination without a port", "admin:", "destinations: [{name: a, networks: [10.6.0.1], from: [service]}]\nadmin:", "i.yaml:2: destinations[0].port: must be from 1"},
		{"a destination of nobody", "admin:", "destinations: [{name: a, networks: [10.6.0.1], port: 1}]\nadmin:", "i.yaml:2: destinations[0].from: missing"},
		{"a destination of other hosts", "admin:", "destinations: [{name: a, networks: [10.6.0.1], port: 1, from: [proxy]}]\nadmin:", "i.yaml:2: destinations[0].from[0]: must be service or cassandra"},
		{"a destination with another protocol", "admin:", "destinations: [{name: a, networks: [10.6.0.1], port: 1, protocol: sctp, from: [service]}]\nadmin:", "i.yaml:2: destinations[0].protocol: must be tcp or udp"},
		{"a wrong namespace", "admin:", "kubernetes: {namespace: A, pods: {a: b}}\nadmin:", "i.yaml:2: kubernetes.namespace: is no name of a namespace"},
		{"a selector of every pod", "admin:", "kubernetes: {clients: [{namespace: {a: b}}]}\nadmin:", "i.yaml:2: kubernetes.clients[0].pods: missing: without labels it would choose everything"},
		{"a selector of every namespace", "admin:", "kubernetes: {dns: [{namespace: {}, pods: {a: b}}]}\nadmin:", "i.yaml:2: kubernetes.dns[0].namespace: missing: without labels"},
		{"a wrong label", "admin:", "kubernetes: {pods: {a: 'b}'}}\nadmin:", "i.yaml:2: kubernetes.pods: a label is not valid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(minimal, c.old) {
				t.Fatalf("%q is not in the inventory", c.old)
			}
			inv, err := Parse("i.yaml", []byte(strings.Replace(minimal, c.old, c.new, 1)))
			if inv != nil || err == nil {
				t.Fatalf("got %v, %v; want an error", inv, err)
			}
			if !strings.HasPrefix(err.Error(), c.want) || strings.Count(err.Error(), "i.yaml:") != 1 {
				t.Errorf("got\n%v\nwant one mistake that begins with\n%s", err, c.want)
			}
		})
	}
}

func TestParse_AcceptsMinimalInventory(t *testing.T) {
	if inv := parse(t, minimal); inv.SSHPort != 22 {
		t.Errorf("the default of ssh_port is %d", inv.SSHPort)
	}
}

func TestLoad_RejectsFileThatEverybodyMayWrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), "i.yaml")
	if err := os.WriteFile(name, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(name, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name); err == nil || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("got error %v, want one that says how to change the mode", err)
	}
}

// TestLoad_ExampleHasEveryField checks deploy/inventory.yaml.
func TestLoad_ExampleHasEveryField(t *testing.T) {
	inv, err := Load(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	wantNonzero(t, "Inventory", reflect.ValueOf(*inv))
}

// wantNonzero checks that each field has a value in at least the first element of its list.
func wantNonzero(t *testing.T, at string, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		f, name := v.Field(i), at+"."+v.Type().Field(i).Name
		if f.IsZero() {
			t.Errorf("%s is not in the example", name)
			continue
		}
		if f.Kind() == reflect.Slice {
			f = f.Index(0)
		}
		if f.Kind() == reflect.Struct {
			wantNonzero(t, name, f)
		}
	}
}

// FuzzParse checks that every text gives either an error that begins with the file's name, or rules that let in only networks
// of the inventory.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(example), minimal, "", "---\n---\n", "[]", "a: &a [*a]", "\x00", "\xff", "clients: [\"\"]", "clients: 0.0.0.0/0",
		strings.Replace(minimal, "10.1.0.0/16", "::/8", 1), strings.Replace(minimal, "10.1.0.0/16", "10.0.0.0/8, 10.255.255.255", 1),
		strings.Replace(minimal, "dns:", "kubernetes: {namespace: a, pods: {a: b}, clients: [{namespace: {}, pods: {}}]}\ndns:", 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := Parse("i.yaml", []byte(text))
		if err != nil {
			if inv != nil || !strings.HasPrefix(err.Error(), "i.yaml:") {
				t.Fatalf("inventory %v, error %v", inv, err)
			}
			return
		}
		rules := Rules{Hosts: Service, In: inv.toService(8443), Out: inv.fromEveryHost(Service), kubernetes: inv.Kubernetes}
		if len(rules.In) == 0 {
			t.Fatal("nobody may reach the service")
		}
		for _, r := range append(rules.In, rules.Out...) {
			if len(r.Networks)+len(r.Selectors) == 0 {
				t.Fatalf("a rule without peers: %+v", r)
			}
			for _, n := range r.Networks {
				if n.Bits() < minPrefixBits {
					t.Fatalf("a rule for %s", n)
				}
			}
			for _, s := range r.Selectors {
				if len(s.Namespace) == 0 || len(s.Pods) == 0 {
					t.Fatalf("a rule for every pod: %+v", r)
				}
			}
		}
		for _, line := range strings.Split(rules.NFTables("x"), "\n") {
			if strings.Contains(line, "dport") && !strings.Contains(line, "addr @") {
				t.Fatalf("a rule for everybody: %s", line)
			}
		}
	})
}
