//go:build integration

package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/internal/namespace"
)

// host is a machine in the test's network: a network namespace, with one cable to the switch.
type host struct {
	name string
	ipv4 string // in 10.99.0.0/16
	ipv6 string // in fd99::/16
}

// hosts are all machines. testdata/inventory.yaml says what each of them is.
var hosts = []host{
	{"client", "10.99.1.5", "fd99:1::5"},
	{"proxy", "10.99.2.5", "fd99:2::5"},
	{"proxied", "10.99.3.5", "fd99:3::5"}, // a client that comes through a proxy only
	{"monitor", "10.99.4.5", "fd99:4::5"},
	{"operator", "10.99.5.5", "fd99:5::5"},
	{"dns", "10.99.6.5", "fd99:6::5"},
	{"ntp", "10.99.7.5", "fd99:7::5"},
	{"collector", "10.99.8.5", "fd99:8::5"},
	{"mirror", "10.99.8.6", "fd99:8::6"},
	{"service1", "10.99.10.5", "fd99:10::5"},
	{"service2", "10.99.10.6", "fd99:10::6"},
	{"service3", "10.99.11.5", "fd99:11::5"}, // in dc2
	{"node1", "10.99.20.5", "fd99:20::5"},
	{"node2", "10.99.20.6", "fd99:20::6"},
	{"node3", "10.99.21.5", "fd99:21::5"}, // in dc2
	{"outsider", "10.99.66.5", "fd99:66::5"},
	{"beyond", "10.98.0.5", ""}, // another network, which outsider reaches through the host under test
}

// lan is the network: the machines and a switch between them.
type lan struct {
	prefix    string // of the names of namespaces
	listening map[string]bool
}

// newLAN makes the network. It goes away with the test. router is the host through which outsider reaches beyond.
func newLAN(t *testing.T, router string) *lan {
	t.Helper()
	l := &lan{prefix: fmt.Sprintf("ui%d-", os.Getpid()), listening: make(map[string]bool)}
	all := []string{"switch"}
	for _, h := range hosts {
		all = append(all, h.name)
	}
	t.Cleanup(func() {
		for _, name := range all {
			if out, err := exec.Command("ip", "netns", "delete", l.prefix+name).CombinedOutput(); err != nil {
				t.Errorf("removing the namespace of %s: %v\n%s", name, err, out)
			}
		}
	})
	for _, name := range all {
		l.run(t, "", "ip", "netns", "add", l.prefix+name)
	}
	// Without snooping, the switch passes all multicast on.
	switchSetup := "link add br0 type bridge mcast_snooping 0\nlink set br0 up\n"
	for i, h := range hosts {
		l.run(t, "", "ip", "link", "add", fmt.Sprint("port", i), "netns", l.prefix+"switch", "type", "veth", "peer", "name", "eth0", "netns", l.prefix+h.name)
		switchSetup += fmt.Sprintf("link set port%d master br0 up\n", i)
		setup := "link set lo up\nlink set eth0 up\naddr add " + h.ipv4 + "/16 dev eth0\n"
		if h.ipv6 != "" {
			setup += "addr add " + h.ipv6 + "/16 dev eth0 nodad\n"
		}
		l.run(t, setup, "ip", "-n", l.prefix+h.name, "-batch", "-")
	}
	l.run(t, switchSetup, "ip", "-n", l.prefix+"switch", "-batch", "-")
	l.run(t, "", "ip", "-n", l.prefix+"outsider", "route", "add", "10.98.0.0/16", "via", address(t, router).ipv4)
	l.run(t, "", "ip", "-n", l.prefix+router, "route", "add", "10.98.0.0/16", "dev", "eth0")
	l.run(t, "", "ip", "-n", l.prefix+"beyond", "route", "add", "10.99.0.0/16", "dev", "eth0")
	l.run(t, "", "ip", "netns", "exec", l.prefix+router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0")
	return l
}

func address(t *testing.T, name string) host {
	t.Helper()
	for _, h := range hosts {
		if h.name == name {
			return h
		}
	}
	t.Fatalf("there is no host %s", name)
	return host{}
}

// run runs a command, which must succeed.
func (l *lan) run(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	out, err := l.try(t, input, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (l *lan) try(t *testing.T, input, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// nft runs nft on a host, with a rule set on its standard input if args end with -.
func (l *lan) nft(t *testing.T, host, input string, args ...string) (string, error) {
	t.Helper()
	return l.try(t, input, "ip", append([]string{"netns", "exec", l.prefix + host, "nft"}, args...)...)
}

// load replaces the rules of a host.
func (l *lan) load(t *testing.T, host, rules string) {
	t.Helper()
	if _, err := l.nft(t, host, rules, "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, rules)
	}
}

// forgetNeighbours empties the caches of all hosts that say which machine has an address.
func (l *lan) forgetNeighbours(t *testing.T) {
	t.Helper()
	for _, h := range hosts {
		l.run(t, "", "ip", "-n", l.prefix+h.name, "neigh", "flush", "dev", "eth0")
	}
}

func (l *lan) inside(host string, do func() error) error {
	return namespace.Run("/run/netns/"+l.prefix+host, do)
}

// answer is what every listener sends.
const answer = "ok"

// listen lets a host answer on a port until the test ends. It may be called again.
func (l *lan) listen(t *testing.T, host, protocol string, port int) {
	t.Helper()
	key := fmt.Sprint(host, protocol, port)
	if l.listening[key] {
		return
	}
	l.listening[key] = true
	at := fmt.Sprintf("[::]:%d", port)
	err := l.inside(host, func() error {
		if protocol == "udp" {
			c, err := net.ListenPacket("udp", at)
			if err == nil {
				t.Cleanup(func() { c.Close() })
				go answerPackets(c)
			}
			return err
		}
		c, err := net.Listen("tcp", at)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			go answerConnections(c)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s listens on %s %d: %v", host, protocol, port, err)
	}
}

func answerPackets(c net.PacketConn) {
	for {
		_, from, err := c.ReadFrom(make([]byte, 16))
		if err != nil {
			return
		}
		c.WriteTo([]byte(answer), from) // a lost answer is what the test is about
	}
}

func answerConnections(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write([]byte(answer))
		c.Close()
	}
}

// errNoAnswer means that nothing came back in time.
var errNoAnswer = errors.New("no answer")

// connect connects from a host to an address and waits for the answer.
func (l *lan) connect(from, protocol, address string, port int, wait time.Duration) error {
	var c net.Conn
	err := l.inside(from, func() (err error) {
		c, err = net.DialTimeout(protocol, net.JoinHostPort(address, fmt.Sprint(port)), wait)
		return err
	})
	if err != nil {
		return noAnswer(err)
	}
	defer c.Close()
	if protocol == "udp" {
		if _, err := c.Write([]byte("x")); err != nil {
			return noAnswer(err)
		}
	}
	c.SetReadDeadline(time.Now().Add(wait))
	got := make([]byte, len(answer))
	if n, err := c.Read(got); err != nil || string(got[:n]) != answer {
		return noAnswer(err)
	}
	return nil
}

// noAnswer returns errNoAnswer for an error that firewalls cause: a deadline, or EPERM, with which the kernel tells the sender
// that its own rules dropped a packet. IPv6 without neighbours is "no route to host".
func noAnswer(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, os.ErrPermission) || strings.Contains(fmt.Sprint(err), "no route to host") {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return fmt.Errorf("not a firewall's doing: %w", err)
}

// filterMulticast lets the switch pass multicast on only to ports whose hosts ask for it. The switch asks once a second, and forgets
// after three seconds.
func (l *lan) filterMulticast(t *testing.T) {
	t.Helper()
	l.run(t, "", "ip", "-n", l.prefix+"switch", "link", "set", "br0", "type", "bridge", "mcast_query_interval", "100", "mcast_query_response_interval", "20",
		"mcast_startup_query_interval", "25", "mcast_membership_interval", "300", "mcast_snooping", "1", "mcast_querier", "1")
}

// awaitMember waits until the switch knows, or has forgotten, that a host wants the questions of IPv6 for its address.
func (l *lan) awaitMember(t *testing.T, name string, want bool) {
	t.Helper()
	i := slices.IndexFunc(hosts, func(h host) bool { return h.name == name })
	ip := net.ParseIP(hosts[i].ipv6)
	group := net.IP{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ip[13], ip[14], ip[15]}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		groups := l.run(t, "", "bridge", "-n", l.prefix+"switch", "mdb", "show", "dev", "br0")
		if strings.Contains(groups, fmt.Sprintf("port port%d grp %s ", i, group)) == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after a minute it is not so that group %s at port %d is known: %v; the switch knows\n%s", group, i, want, groups)
		}
	}
}
