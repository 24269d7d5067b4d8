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
	"os"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

// selfSigned returns a certificate for localhost that is its own CA.
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

func TestServer_MinVersion(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	files := d.serverFiles(ca)
	for _, test := range []struct {
		name, minVersion string
		offered          uint16
		accepted         bool
	}{
		{"accepts 1.3 by default", "", tls.VersionTLS13, true},
		{"rejects 1.2 by default", "", tls.VersionTLS12, false},
		{"rejects 1.2 if 1.3 is configured", "1.3", tls.VersionTLS12, false},
		{"accepts 1.2 if 1.2 is configured", "1.2", tls.VersionTLS12, true},
		{"accepts 1.3 if 1.2 is configured", "1.2", tls.VersionTLS13, true},
		{"rejects 1.1 if 1.2 is configured", "1.2", tls.VersionTLS11, false},
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

func TestServer_TLS12HasOnlyEphemeralAEADSuites(t *testing.T) {
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
				continue // a suite of TLS 1.3
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

func TestServer_NegotiatesHTTP2AndHTTP11(t *testing.T) {
	ca := newCA(t, "ca")
	files := newDir(t).serverFiles(ca)
	for _, minVersion := range []string{"1.2", "1.3"} {
		files.MinVersion = minVersion
		address := serve(t, newServer(t, files).config())
		if got := mustRequest(t, address, client(ca, nil)).Proto; got != "HTTP/2.0" {
			t.Errorf("min_version %s: a client of both versions gets %s, want HTTP/2.0", minVersion, got)
		}
		old := client(ca, nil)
		old.NextProtos = []string{"http/1.1"}
		conn, err := tls.Dial("tcp", address, old)
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Errorf("min_version %s: a client of HTTP/1.1 gets %q", minVersion, got)
		}
		_ = conn.Close()
	}
}

func TestServer_HTTP2CanBeTurnedOff(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	files := d.serverFiles(ca)
	for _, test := range []struct {
		http2 *bool
		proto string
	}{{nil, "HTTP/2.0"}, {new(true), "HTTP/2.0"}, {new(false), "HTTP/1.1"}} {
		files.HTTP2 = test.http2
		if got := mustRequest(t, serve(t, newServer(t, files).config()), client(ca, nil)); got.Proto != test.proto {
			t.Errorf("a client of both versions gets %s; want %s", got.Proto, test.proto)
		}
	}
}

func TestServer_VerifiesClientCertificates(t *testing.T) {
	ca, foreign, d := newCA(t, "ours"), newCA(t, "ours"), newDir(t) // same name, different keys
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
			alert       string // the server's alert; empty if it accepts the client
		}{
			{"accepts a client without certificate", nil, "", ""},
			{"accepts a certificate of the CA", pair(t, ca, wiki), "wiki", ""},
			{"rejects a certificate of another CA", pair(t, foreign, wiki), "", "bad certificate"},
			{"rejects an expired certificate", pair(t, ca, expired), "", "bad certificate"},
			{"rejects a certificate that is not valid yet", pair(t, ca, early), "", "bad certificate"},
		} {
			t.Run(version+" "+test.name, func(t *testing.T) {
				config := client(ca, test.certificate)
				if version == "1.2" {
					config.MaxVersion = tls.VersionTLS12
				}
				if test.alert != "" {
					wantRefused(t, address, config, test.alert)
				} else if got := mustRequest(t, address, config); got.Peer != test.peer {
					t.Errorf("the server sees %q, want %q", got.Peer, test.peer)
				}
			})
		}
	}
}

func TestServer_AsksForNoCertificateWithoutClientCA(t *testing.T) {
	ca := newCA(t, "ca")
	asked := false
	config := client(ca, nil)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return &tls.Certificate{}, nil
	}
	mustRequest(t, serve(t, newServer(t, newDir(t).serverFiles(ca)).config()), config)
	if asked {
		t.Error("the server asked for a certificate without a client CA")
	}
}

func TestServer_ExpiriesAreTheFirstOfEachFile(t *testing.T) {
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

func TestServer_ChangedIgnoresExpiryOfUnchangedFiles(t *testing.T) {
	ca, d := newCA(t, "ca"), newDir(t)
	files := d.serverFiles(ca)
	clock := newClock()
	server := newServerAt(t, files, clock.now)
	data, err := os.ReadFile(files.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	d.write("server.crt", data)
	for _, step := range []time.Duration{0, 365 * 24 * time.Hour} { // also after it has expired
		clock.advance(step)
		if changed, err := server.reload(); changed || err != nil {
			t.Errorf("reload() = %v, %v; want false, nil", changed, err)
		}
	}
}

func TestLoadServer_NamesFieldOfBadFile(t *testing.T) {
	ca, other, d := newCA(t, "ca"), newCA(t, "other"), newDir(t)
	now := time.Now()
	leaf := func(change func(*devca.Leaf)) (cert, key string) {
		l := devca.Loopback()
		change(&l)
		certPEM, keyPEM := issue(t, ca, l)
		return d.write(t.Name()+l.CommonName+".crt", certPEM), d.write(t.Name()+l.CommonName+".key", keyPEM)
	}
	cert, key := leaf(func(l *devca.Leaf) { l.CommonName = "good" })
	_, foreignKey := leaf(func(l *devca.Leaf) { l.CommonName = "foreign" })
	expired, expiredKey := leaf(func(l *devca.Leaf) {
		l.CommonName, l.NotBefore, l.NotAfter = "expired", time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2021, 1, 2, 3, 4, 5, 0, time.UTC)
	})
	early, earlyKey := leaf(func(l *devca.Leaf) {
		l.CommonName, l.NotBefore, l.NotAfter = "early", time.Date(2120, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2121, 1, 2, 3, 4, 5, 0, time.UTC)
	})
	forClient, forClientKey := leaf(func(l *devca.Leaf) { l.CommonName, l.Client = "client", true })
	bundle := d.write("bundle.pem", ca.PEM(), other.PEM())
	leafPEM, _ := issue(t, ca, wiki())
	withLeaf := d.write("with-leaf.pem", ca.PEM(), leafPEM)
	notCertificate := d.write("trusted.pem", pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: []byte{1}}))
	notASN1 := d.write("damaged.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}))
	text := d.write("text.pem", []byte("nothing here\n"))
	missing := d.path("missing.pem")
	today := now.UTC().Format("2006-01-02")
	for _, test := range []struct {
		name  string
		files tlsconf.ServerFiles
		field string
		words []string
	}{
		{"no certificate configured", tlsconf.ServerFiles{Key: key}, "certificate", []string{"missing; name a PEM file"}},
		{"no key configured", tlsconf.ServerFiles{Certificate: cert}, "key", []string{"missing; name the PEM file with the private key", cert}},
		{"unknown version", tlsconf.ServerFiles{Certificate: cert, Key: key, MinVersion: "1.1"}, "min_version", []string{`"1.1"`, `"1.2"`}},
		{"no such certificate", tlsconf.ServerFiles{Certificate: missing, Key: key}, "certificate", []string{missing, "no such file"}},
		{"no such key", tlsconf.ServerFiles{Certificate: cert, Key: missing}, "key", []string{missing, "no such file"}},
		{"no such CA", tlsconf.ServerFiles{Certificate: cert, Key: key, ClientCA: missing}, "client_ca", []string{missing, "no such file"}},
		{"key of another certificate", tlsconf.ServerFiles{Certificate: cert, Key: foreignKey}, "key", []string{foreignKey, "does not belong to the certificate in " + cert}},
		{"key without PEM", tlsconf.ServerFiles{Certificate: cert, Key: text}, "key", []string{text, "is not an unencrypted PEM key"}},
		{"files swapped", tlsconf.ServerFiles{Certificate: key, Key: cert}, "certificate", []string{key, "block 1 is a private key"}},
		{"certificate without PEM", tlsconf.ServerFiles{Certificate: text, Key: key}, "certificate", []string{text, "contains no certificate"}},
		{"certificate damaged", tlsconf.ServerFiles{Certificate: notASN1, Key: key}, "certificate", []string{notASN1, "certificate 1 cannot be parsed"}},
		{"certificate expired", tlsconf.ServerFiles{Certificate: expired, Key: expiredKey}, "certificate", []string{expired, "expired on 2021-01-02T03:04:05Z", today}},
		{"certificate not valid yet", tlsconf.ServerFiles{Certificate: early, Key: earlyKey}, "certificate", []string{early, "not valid before 2120-01-02T03:04:05Z", today}},
		{"certificate for clients only", tlsconf.ServerFiles{Certificate: forClient, Key: forClientKey}, "certificate", []string{forClient, "server authentication"}},
		{"CA without any certificate", tlsconf.ServerFiles{Certificate: cert, Key: key, ClientCA: text}, "client_ca", []string{text, "contains no certificate"}},
		{"CA of another PEM type", tlsconf.ServerFiles{Certificate: cert, Key: key, ClientCA: notCertificate}, "client_ca", []string{notCertificate, "not a CERTIFICATE"}},
		{"CA bundle with a leaf", tlsconf.ServerFiles{Certificate: cert, Key: key, ClientCA: withLeaf}, "client_ca", []string{withLeaf, "certificate 2 (CN=wiki) is not a CA certificate"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := tlsconf.LoadServer(test.files, func() time.Time { return now })
			wantFieldError(t, err, test.field, test.words...)
		})
	}
	t.Run("accepts correct files", func(t *testing.T) {
		newServer(t, tlsconf.ServerFiles{Certificate: cert, Key: key, ClientCA: bundle})
	})
}
