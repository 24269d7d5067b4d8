package tlsconf_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

// TestNodeNames_VerifyNode connects by the node's address, as to a node that was found by gossip.
func TestNodeNames_VerifyNode(t *testing.T) {
	ca, foreign := newCA(t, "cassandra"), newCA(t, "cassandra")
	named := func(names ...string) devca.Leaf { return devca.Leaf{CommonName: "db1.dc1.example", DNSNames: names} }
	expired := named("db1.dc1.example")
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	onlyClient := named("db1.dc1.example")
	onlyClient.Client = true
	withAddress := named()
	withAddress.IPs = []net.IP{net.IPv4(127, 0, 0, 1)}
	for _, test := range []struct {
		name       string
		ca         *devca.CA // nil: ca
		leaf       devca.Leaf
		names      []string
		serverName string
		wantErr    string
	}{
		{name: "the name", leaf: named("db1.dc1.example"), names: []string{"db1.dc1.example"}},
		{name: "the second name, in capitals", leaf: named("other.example", "DB1.dc1.Example"), names: []string{"db0.dc1.example", "db1.DC1.example"}},
		{name: "a wildcard", leaf: named("db1.dc1.example"), names: []string{"*.dc1.example"}},
		{name: "a certificate for a wildcard", leaf: named("*.dc1.example"), names: []string{"db1.dc1.example"}},
		{name: "the same wildcard", leaf: named("*.dc1.example"), names: []string{"*.dc1.example"}},
		{name: "a name and a server name", leaf: named("db1.dc1.example", "all.example"), names: []string{"all.example", "*.dc1.example"}, serverName: "all.example"},

		{name: "no server name", leaf: named("db1.dc1.example"), names: []string{"all.example", "*.dc1.example"}, serverName: "all.example", wantErr: "not all.example"},
		{name: "another name", leaf: named("db1.dc1.example"), names: []string{"db2.dc1.example"}, wantErr: "none of these names is in cassandra.tls.names"},
		{name: "two labels for a wildcard", leaf: named("a.db1.dc1.example"), names: []string{"*.dc1.example"}, wantErr: "none of these names"},
		{name: "no label for a wildcard", leaf: named("dc1.example"), names: []string{"*.dc1.example"}, wantErr: "none of these names"},
		{name: "an end that is no domain", leaf: named("db1.baddc1.example"), names: []string{"*.dc1.example"}, wantErr: "none of these names"},
		{name: "a certificate for every host of a top domain", leaf: named("*.example"), names: []string{"dc1.example"}, wantErr: "none of these names"},
		{name: "a certificate for everything", leaf: named("*"), names: []string{"db1.dc1.example"}, wantErr: "none of these names"},
		{name: "the common name alone", leaf: named(), names: []string{"db1.dc1.example"}, wantErr: "none of these names"},
		{name: "the address alone", leaf: withAddress, names: []string{"db1.dc1.example"}, wantErr: "none of these names"},
		{name: "another CA", ca: foreign, leaf: named("db1.dc1.example"), names: []string{"db1.dc1.example"}, wantErr: "unknown authority"},
		{name: "an expired certificate", leaf: expired, names: []string{"db1.dc1.example"}, wantErr: "certificate has expired"},
		{name: "a client certificate", leaf: onlyClient, names: []string{"db1.dc1.example"}, wantErr: "incompatible key usage"},
	} {
		t.Run(test.name, func(t *testing.T) {
			signer := ca
			if test.ca != nil {
				signer = test.ca
			}
			address := node(t, &tls.Config{Certificates: []tls.Certificate{*pair(t, signer, test.leaf)}})
			err := dial(newClient(t, tlsconf.ClientFiles{
				CA: newDir(t).write("ca.pem", ca.PEM()), Names: test.names, ServerName: test.serverName,
			}), address)
			if test.wantErr == "" && err != nil {
				t.Fatal(err)
			}
			if test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
				t.Fatalf("error %v; want an error with %q", err, test.wantErr)
			}
		})
	}
}

func TestNodeNames_RejectInsecureSettings(t *testing.T) {
	ca := newDir(t).write("ca.pem", newCA(t, "cassandra").PEM())
	for _, test := range []struct {
		names      []string
		serverName string
		field      string
		want       string
	}{
		{[]string{""}, "", "names[0]", "empty"},
		{[]string{"db1.example", ""}, "", "names[1]", "empty"},
		{[]string{"*"}, "", "names[0]", "only the whole first label can be a wildcard"},
		{[]string{"*.*.example"}, "", "names[0]", "only the whole first label"},
		{[]string{"a.*.example"}, "", "names[0]", "only the whole first label"},
		{[]string{"db*.example"}, "", "names[0]", "only the whole first label"},
		{[]string{"*.example"}, "", "names[0]", "more than one domain"},
		{[]string{"*."}, "", "names[0]", "more than one domain"},
		{[]string{"10.0.0.1"}, "", "names[0]", "is an IP address"},
		{[]string{"::1"}, "", "names[0]", "is an IP address"},
		{[]string{"db1..example"}, "", "names[0]", "is not a host name"},
		{[]string{"db1.example."}, "", "names[0]", "is not a host name"},
		{[]string{"https://db1.example"}, "", "names[0]", "is not a host name"},
		{[]string{"db1.example:9042"}, "", "names[0]", "is not a host name"},
		{[]string{"db1.example"}, "db2.example", "server_name", "is not one of names"},
		{[]string{"*.example.org"}, "a.b.example.org", "server_name", "is not one of names"},
		{[]string{"*.example.org"}, "10.0.0.1", "server_name", "is not one of names"},
	} {
		_, err := tlsconf.LoadClient(tlsconf.ClientFiles{CA: ca, Names: test.names, ServerName: test.serverName}, time.Now)
		wantFieldError(t, err, test.field, "", test.want)
	}
}

func TestNodeNames_EmptyListAcceptsNothing(t *testing.T) {
	if tlsconf.MatchNodeNames(nil, "db1.example") || tlsconf.MatchNodeNames(nil, "") || tlsconf.MatchNodeNames([]string{"db1.example"}, "") {
		t.Error("a name matches an empty list, or an empty name matches a list")
	}
	verify := tlsconf.NodeVerifier([]string{"db1.example"})
	if verify(tls.ConnectionState{}) == nil {
		t.Error("a connection without certificate is accepted")
	}
}

func FuzzNodeNames(f *testing.F) {
	for _, seed := range [][2]string{{"db1.example", "db1.example"}, {"*.dc1.example", "db1.dc1.example"}, {"*", "x"}, {"a.b", "*.b"}, {"*.a.b", "*.a.b"}, {".", ".."}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, certified string) {
		if tlsconf.CheckNodeName(strings.ToLower(name)) != nil || !tlsconf.MatchNodeNames([]string{strings.ToLower(name)}, certified) {
			return
		}
		if strings.Count(name, ".") != strings.Count(certified, ".") || certified == "" || strings.HasPrefix(certified, "*") && strings.Count(certified, ".") < 2 {
			t.Errorf("%q matches a certificate for %q", name, certified)
		}
	})
}
