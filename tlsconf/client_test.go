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

// cassandraClient is a Client that is replaced when its files change.
type cassandraClient struct{ *reloadable[tlsconf.Client] }

func newClient(t *testing.T, f tlsconf.ClientFiles) cassandraClient {
	t.Helper()
	return cassandraClient{mustLoad(t, (*tlsconf.Client).Changed, func() (*tlsconf.Client, error) { return tlsconf.LoadClient(f, time.Now) })}
}

// dial connects to a node as the store does: it verifies the node's address unless a server name is configured.
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

// node runs a TLS server on loopback. It sends one byte to every client that it accepts.
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
			_, _ = conn.Write([]byte{0}) // does the handshake first; the client sees a failure
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func TestClient_VerifiesNode(t *testing.T) {
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
		wantErr    string
	}{
		{name: "accepts the node's address", ca: ca, leaf: devca.Loopback()},
		{name: "accepts the configured name", ca: ca, leaf: named, serverName: "cassandra.example"},
		{name: "accepts TLS 1.2", ca: ca, leaf: devca.Loopback(), node: &tls.Config{MaxVersion: tls.VersionTLS12}},
		{name: "rejects another address", ca: ca, leaf: devca.Leaf{IPs: []net.IP{net.IPv4(192, 0, 2, 1)}}, wantErr: "certificate is valid for 192.0.2.1"},
		{name: "rejects an address in the common name", ca: ca, leaf: named, wantErr: "doesn't contain any IP SANs"},
		{name: "rejects another name", ca: ca, leaf: devca.Loopback(), serverName: "cassandra.example", wantErr: "certificate is valid for localhost"},
		{name: "rejects another CA", ca: foreign, leaf: devca.Loopback(), wantErr: "failed to verify certificate"},
		{name: "rejects an expired certificate", ca: ca, leaf: expired, wantErr: "certificate has expired"},
		{name: "rejects a client certificate", ca: ca, leaf: onlyClient, wantErr: "incompatible key usage"},
		{name: "rejects TLS 1.1", ca: ca, leaf: devca.Loopback(), node: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
			wantErr: "protocol version"},
		{name: "rejects TLS 1.2 without AEAD", ca: ca, leaf: devca.Loopback(), node: &tls.Config{MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, wantErr: "handshake failure"},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := test.node
			if config == nil {
				config = &tls.Config{}
			}
			config.Certificates = []tls.Certificate{*pair(t, test.ca, test.leaf)}
			c := newClient(t, tlsconf.ClientFiles{CA: newDir(t).write("ca.pem", ca.PEM()), ServerName: test.serverName})
			err := dial(c, node(t, config))
			if test.wantErr == "" && err != nil {
				t.Fatal(err)
			}
			if test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
				t.Fatalf("error %v; want an error with %q", err, test.wantErr)
			}
		})
	}
}

func TestClient_PresentsItsCertificate(t *testing.T) {
	ca, d := newCA(t, "cassandra"), newDir(t)
	certPEM, keyPEM := issue(t, ca, devca.Leaf{CommonName: "userinfo", Client: true})
	address := node(t, &tls.Config{
		Certificates: []tls.Certificate{*pair(t, ca, devca.Loopback())},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    ca.Pool(),
	})
	files := tlsconf.ClientFiles{CA: d.write("ca.pem", ca.PEM())}
	if err := dial(newClient(t, files), address); err == nil {
		t.Error("a node that requires a certificate accepted a client without one")
	}
	files.Certificate, files.Key = d.write("crt", certPEM), d.write("key", keyPEM)
	if err := dial(newClient(t, files), address); err != nil {
		t.Error(err)
	}
}

func TestClient_CARotation(t *testing.T) {
	old, next, d := newCA(t, "cassandra"), newCA(t, "cassandra"), newDir(t)
	nodes := map[string]string{}
	for name, ca := range map[string]*devca.CA{"old": old, "new": next} {
		nodes[name] = node(t, &tls.Config{Certificates: []tls.Certificate{*pair(t, ca, devca.Loopback())}})
	}
	c := newClient(t, tlsconf.ClientFiles{CA: d.write("ca.pem", old.PEM())})
	want := func(bundle, node string, accepted bool) {
		t.Helper()
		if err := dial(c, nodes[node]); (err == nil) != accepted {
			t.Errorf("bundle %s: node of the %s CA: error %v; want accepted: %v", bundle, node, err, accepted)
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
		t.Errorf("reload() of unchanged files = %v, %v; want false, nil", changed, err)
	}
}

func TestClient_ConfigReturnsCopy(t *testing.T) {
	ca := newCA(t, "cassandra")
	c := newClient(t, tlsconf.ClientFiles{CA: newDir(t).write("ca.pem", ca.PEM())})
	c.current.Load().Config().ServerName = "elsewhere"
	if got := c.current.Load().Config().ServerName; got != "" {
		t.Errorf("the change shows in the next copy: ServerName %q", got)
	}
}

func TestClient_ExpiriesAreTheFirstOfEachFile(t *testing.T) {
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

func TestLoadClient_NamesFieldOfBadFile(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	bundle := d.write("ca.pem", ca.PEM())
	certPEM, keyPEM := issue(t, ca, wiki())
	otherPEM, otherKeyPEM := issue(t, ca, wiki())
	cert, key, otherKey := d.write("crt", certPEM), d.write("key", keyPEM), d.write("other.key", otherKeyPEM)
	leaf := d.write("leaf.pem", otherPEM)
	for _, test := range []struct {
		name  string
		files tlsconf.ClientFiles
		field string
		words []string
	}{
		{"no CA configured", tlsconf.ClientFiles{}, "ca", []string{"always verified"}},
		{"certificate without key", tlsconf.ClientFiles{CA: bundle, Certificate: cert}, "key", []string{cert, "or leave out both"}},
		{"key without certificate", tlsconf.ClientFiles{CA: bundle, Key: key}, "certificate", []string{key, "or leave out both"}},
		{"another's key", tlsconf.ClientFiles{CA: bundle, Certificate: cert, Key: otherKey}, "key", []string{otherKey, "does not belong"}},
		{"a leaf for a CA", tlsconf.ClientFiles{CA: leaf}, "ca", []string{leaf, "not a CA certificate"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := tlsconf.LoadClient(test.files, time.Now)
			wantFieldError(t, err, test.field, test.words...)
		})
	}
}
