package tlsconf_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

func TestVersions(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	files := d.serverFiles(ca)
	for _, test := range []struct {
		name, minVersion string
		offered          uint16
		accepted         bool
	}{
		{"1.3 is accepted by default", "", tls.VersionTLS13, true},
		{"1.2 is refused by default", "", tls.VersionTLS12, false},
		{"1.2 is refused where 1.3 is configured", "1.3", tls.VersionTLS12, false},
		{"1.2 is accepted where it is configured", "1.2", tls.VersionTLS12, true},
		{"1.3 is accepted where 1.2 is configured", "1.2", tls.VersionTLS13, true},
		{"1.1 is refused where 1.2 is configured", "1.2", tls.VersionTLS11, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			files.MinVersion = test.minVersion
			config := client(ca, nil)
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, test.offered
			address := serve(t, newServer(t, files).config())
			if test.accepted {
				mustRequest(t, address, config)
			} else {
				wantRefused(t, address, config, "protocol version not supported")
			}
		})
	}
}

// selfSigned makes a certificate for 127.0.0.1 that is its own CA.
func selfSigned(t *testing.T, public, private any) (certPEM, keyPEM []byte, pool *x509.CertPool) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		DNSNames:     []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), pool
}

func TestTLS12HasOnlyAEADSuitesWithEphemeralKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []struct {
		name, prefix    string
		public, private any
	}{
		{"with an RSA key", "TLS_ECDHE_RSA_", &rsaKey.PublicKey, rsaKey},
		{"with an ECDSA key", "TLS_ECDHE_ECDSA_", &ecKey.PublicKey, ecKey},
	} {
		d := newDir(t)
		certPEM, keyPEM, pool := selfSigned(t, kind.public, kind.private)
		address := serve(t, newServer(t, tlsconf.ServerFiles{
			Certificate: d.write("crt", certPEM), Key: d.write("key", keyPEM), MinVersion: "1.2",
		}).config())
		for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			if strings.HasPrefix(suite.Name, "TLS_AES") || strings.HasPrefix(suite.Name, "TLS_CHACHA20") {
				continue // TLS 1.3's
			}
			aead := strings.Contains(suite.Name, "_GCM_") || strings.Contains(suite.Name, "_POLY1305_")
			want := aead && strings.HasPrefix(suite.Name, kind.prefix)
			conn, err := tls.Dial("tcp", address, &tls.Config{
				RootCAs: pool, ServerName: "localhost", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID},
			})
			if err == nil {
				_ = conn.Close()
			}
			if got := err == nil; got != want {
				t.Errorf("%s, %s accepted: %v (%v), want %v", kind.name, suite.Name, got, err, want)
			}
		}
	}
}

func TestHTTP2IsNegotiatedAndHTTP11IsServed(t *testing.T) {
	ca := newCA(t, "ca")
	files := newDir(t).serverFiles(ca)
	for _, minVersion := range []string{"1.2", "1.3"} {
		files.MinVersion = minVersion
		address := serve(t, newServer(t, files).config())
		if got := mustRequest(t, address, client(ca, nil)).Proto; got != "HTTP/2.0" {
			t.Errorf("min_version %s: a client of both is served %s, want HTTP/2.0", minVersion, got)
		}
		old := client(ca, nil)
		old.NextProtos = []string{"http/1.1"}
		conn, err := tls.Dial("tcp", address, old)
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Errorf("min_version %s: a client of HTTP/1.1 is served %q", minVersion, got)
		}
		_ = conn.Close()
	}
}

func TestHTTP2IsNotOfferedWhereItIsTurnedOff(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	files := d.serverFiles(ca)
	for _, test := range []struct {
		http2 *bool
		proto string
	}{{nil, "HTTP/2.0"}, {new(true), "HTTP/2.0"}, {new(false), "HTTP/1.1"}} {
		files.HTTP2 = test.http2
		if got := mustRequest(t, serve(t, newServer(t, files).config()), client(ca, nil)); got.Proto != test.proto {
			t.Errorf("a client that takes both speaks %s; want %s", got.Proto, test.proto)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	ca, foreign, d := newCA(t, "ours"), newCA(t, "ours"), newDir(t) // the same name, another key
	files := d.serverFiles(ca)
	files.ClientCA = d.write("clients.pem", ca.PEM())
	wiki := devca.Leaf{CommonName: "wiki", Client: true}
	expired := wiki
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	early := wiki
	early.NotBefore = time.Now().Add(time.Hour)
	for _, version := range []string{"1.2", "1.3"} {
		files.MinVersion = version
		address := serve(t, newServer(t, files).config())
		for _, test := range []struct {
			name        string
			certificate *tls.Certificate
			peer        string
			refusal     string // what the alert says; empty: let in
		}{
			{"without one gets in", nil, "", ""},
			{"of the CA gets in by name", pair(t, ca, wiki), "wiki", ""},
			{"of a foreign CA is refused", pair(t, foreign, wiki), "", "unknown certificate authority"},
			{"that has expired is refused", pair(t, ca, expired), "", "expired certificate"},
			{"that is not valid yet is refused", pair(t, ca, early), "", "expired certificate"},
		} {
			t.Run(version+" "+test.name, func(t *testing.T) {
				config := client(ca, test.certificate)
				if version == "1.2" {
					config.MaxVersion = tls.VersionTLS12
				}
				if test.refusal != "" {
					wantRefused(t, address, config, test.refusal)
				} else if got := mustRequest(t, address, config); got.Peer != test.peer {
					t.Errorf("the server sees %q, want %q", got.Peer, test.peer)
				}
			})
		}
	}
}

func TestWithoutAClientCANoCertificateIsAskedFor(t *testing.T) {
	ca := newCA(t, "ca")
	asked := false
	config := client(ca, nil)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return &tls.Certificate{}, nil
	}
	mustRequest(t, serve(t, newServer(t, newDir(t).serverFiles(ca)).config()), config)
	if asked {
		t.Error("the server asked for a certificate it has no CA for")
	}
}

func TestACertificateThatExpiresBetweenConnectionsIsNotResumed(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	files := d.serverFiles(ca)
	files.ClientCA = d.write("clients.pem", ca.PEM())
	clock := newClock()
	server := newServerAt(t, files, clock.now)
	address := serve(t, server.config())
	config := client(ca, pair(t, ca, devca.Leaf{CommonName: "wiki", Client: true, NotAfter: time.Now().Add(time.Hour)}))
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	mustRequest(t, address, config)
	if !mustRequest(t, address, config).Resumed {
		t.Fatal("the session was not resumed while the certificate was valid")
	}
	clock.advance(2 * time.Hour)
	wantRefused(t, address, config, "expired certificate")
}

func TestExpiriesOfAServerAreTheEarliestOfEachFile(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	notAfter := time.Now().Add(48 * time.Hour).Truncate(time.Second).UTC()
	leaf := devca.Loopback()
	leaf.NotAfter = notAfter
	certPEM, keyPEM := issue(t, ca, leaf)
	server := newServer(t, tlsconf.ServerFiles{
		Certificate: d.write("crt", certPEM, ca.PEM()), Key: d.write("key", keyPEM), ClientCA: d.write("ca", ca.PEM()),
	})
	got := server.current.Load().Expiries()
	if len(got) != 2 || got[0] != (tlsconf.Expiry{File: "server", NotAfter: notAfter}) ||
		got[1].File != "client_ca" || !got[1].NotAfter.After(notAfter) {
		t.Errorf("Expiries() = %v", got)
	}
}
