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

// client is a reloadable Client.
type cassandraClient struct{ *reloadable[tlsconf.Client] }

func newClient(t *testing.T, f tlsconf.ClientFiles) cassandraClient {
	t.Helper()
	return cassandraClient{mustLoad(t, (*tlsconf.Client).Changed, func() (*tlsconf.Client, error) { return tlsconf.LoadClient(f, time.Now) })}
}

// dial connects to a node as the store does: the node's address is its name unless another is configured.
func dial(c cassandraClient, address string) error {
	config := c.current.Load().Config()
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		config.ServerName = host
	}
	return handshake(address, config)
}

// node runs a TLS server with config on loopback, which sends one byte to whom it lets in.
func node(t *testing.T, config *tls.Config) (address string) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed below
			}
			_, _ = conn.Write([]byte{0}) // shakes hands first; a failure shows at the client
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func TestACassandraNodeIsVerified(t *testing.T) {
	ca, foreign := newCA(t, "cassandra"), newCA(t, "cassandra")
	expired := devca.Loopback()
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	named := devca.Leaf{CommonName: "127.0.0.1", DNSNames: []string{"cassandra.example"}}
	onlyClient := devca.Loopback()
	onlyClient.Client = true
	for _, test := range []struct {
		name       string
		ca         *devca.CA
		leaf       devca.Leaf
		serverName string
		node       *tls.Config // nil: Go's defaults
		refusal    string
	}{
		{name: "by its address", ca: ca, leaf: devca.Loopback()},
		{name: "by a configured name", ca: ca, leaf: named, serverName: "cassandra.example"},
		{name: "with TLS 1.2", ca: ca, leaf: devca.Loopback(), node: &tls.Config{MaxVersion: tls.VersionTLS12}},
		{name: "wrong address", ca: ca, leaf: devca.Leaf{IPs: []net.IP{net.IPv4(192, 0, 2, 1)}}, refusal: "certificate is valid for 192.0.2.1"},
		{name: "address in the common name only", ca: ca, leaf: named, refusal: "doesn't contain any IP SANs"},
		{name: "wrong name", ca: ca, leaf: devca.Loopback(), serverName: "cassandra.example", refusal: "certificate is valid for localhost"},
		{name: "wrong CA", ca: foreign, leaf: devca.Loopback(), refusal: "failed to verify certificate"},
		{name: "expired", ca: ca, leaf: expired, refusal: "certificate has expired"},
		{name: "a client's certificate", ca: ca, leaf: onlyClient, refusal: "incompatible key usage"},
		{name: "TLS 1.1", ca: ca, leaf: devca.Loopback(), node: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
			refusal: "protocol version"},
		{name: "TLS 1.2 without AEAD", ca: ca, leaf: devca.Loopback(), node: &tls.Config{MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, refusal: "handshake failure"},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := test.node
			if config == nil {
				config = &tls.Config{}
			}
			config.Certificates = []tls.Certificate{*pair(t, test.ca, test.leaf)}
			c := newClient(t, tlsconf.ClientFiles{CA: newDir(t).write("ca.pem", ca.PEM()), ServerName: test.serverName})
			err := dial(c, node(t, config))
			if test.refusal == "" && err != nil {
				t.Fatal(err)
			}
			if test.refusal != "" && (err == nil || !strings.Contains(err.Error(), test.refusal)) {
				t.Fatalf("error %v; want a refusal with %q", err, test.refusal)
			}
		})
	}
}

func TestACassandraNodeThatAsksGetsTheClientCertificate(t *testing.T) {
	ca, d := newCA(t, "cassandra"), newDir(t)
	certPEM, keyPEM := issue(t, ca, devca.Leaf{CommonName: "userinfo", Client: true})
	address := node(t, &tls.Config{
		Certificates: []tls.Certificate{*pair(t, ca, devca.Loopback())},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    ca.Pool(),
	})
	files := tlsconf.ClientFiles{CA: d.write("ca.pem", ca.PEM())}
	if err := dial(newClient(t, files), address); err == nil {
		t.Error("a node that demands a certificate let in a client without one")
	}
	files.Certificate, files.Key = d.write("crt", certPEM), d.write("key", keyPEM)
	if err := dial(newClient(t, files), address); err != nil {
		t.Error(err)
	}
}

func TestACassandraCARotates(t *testing.T) {
	old, next, d := newCA(t, "cassandra"), newCA(t, "cassandra"), newDir(t)
	nodes := map[string]string{}
	for name, ca := range map[string]*devca.CA{"old": old, "new": next} {
		nodes[name] = node(t, &tls.Config{Certificates: []tls.Certificate{*pair(t, ca, devca.Loopback())}})
	}
	c := newClient(t, tlsconf.ClientFiles{CA: d.write("ca.pem", old.PEM())})
	want := func(bundle, node string, letIn bool) {
		t.Helper()
		if err := dial(c, nodes[node]); (err == nil) != letIn {
			t.Errorf("bundle %s: a node of the %s CA: %v; want it trusted: %v", bundle, node, err, letIn)
		}
	}
	want("old", "old", true)
	want("old", "new", false)

	d.write("ca.pem", old.PEM(), next.PEM())
	c.mustReload(t)
	want("old and new", "old", true)
	want("old and new", "new", true)

	d.write("ca.pem", next.PEM())
	c.mustReload(t)
	want("new", "old", false)
	want("new", "new", true)

	d.write("ca.pem", []byte("oops"))
	_, err := c.reload()
	wantFieldError(t, err, "ca", "ca.pem", "contains no certificate")
	want("broken", "new", true)

	d.write("ca.pem", next.PEM())
	if changed, err := c.reload(); changed || err != nil {
		t.Errorf("reload() of what is in force = %v, %v; want false, nil", changed, err)
	}
}

func TestChangingAConfigurationTakenFromAClientChangesNoOther(t *testing.T) {
	ca := newCA(t, "cassandra")
	c := newClient(t, tlsconf.ClientFiles{CA: newDir(t).write("ca.pem", ca.PEM())})
	c.current.Load().Config().ServerName = "elsewhere"
	if got := c.current.Load().Config().ServerName; got != "" {
		t.Errorf("the next configuration has ServerName %q", got)
	}
}

func TestExpiriesOfAClientAreTheEarliestOfEachFile(t *testing.T) {
	ca, d := newCA(t, "cassandra"), newDir(t)
	notAfter := time.Now().Add(48 * time.Hour).Truncate(time.Second).UTC()
	certPEM, keyPEM := issue(t, ca, devca.Leaf{CommonName: "userinfo", Client: true, NotAfter: notAfter})
	c := newClient(t, tlsconf.ClientFiles{CA: d.write("ca", ca.PEM()), Certificate: d.write("crt", certPEM), Key: d.write("key", keyPEM)})
	got := c.current.Load().Expiries()
	if len(got) != 2 || got[0].File != "cassandra_ca" || !got[0].NotAfter.After(notAfter) ||
		got[1] != (tlsconf.Expiry{File: "cassandra_client", NotAfter: notAfter}) {
		t.Errorf("Expiries() = %v", got)
	}
}
