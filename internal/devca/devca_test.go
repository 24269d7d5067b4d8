package devca_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"userinfo/internal/devca"
)

func newCA(t *testing.T) *devca.CA {
	t.Helper()
	ca, err := devca.New("test")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *devca.CA, leaf devca.Leaf) *x509.Certificate {
	t.Helper()
	certPEM, keyPEM, err := ca.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM) // also checks that the key belongs to the certificate
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func TestCA_IssueMatchesLeaf(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	server, client := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	expired := devca.Loopback()
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	early := devca.Loopback()
	early.NotBefore, early.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	for _, test := range []struct {
		name  string
		leaf  devca.Leaf
		roots *x509.CertPool
		host  string
		usage x509.ExtKeyUsage
		valid bool
	}{
		{"a server by name", devca.Loopback(), ca.Pool(), "localhost", server, true},
		{"a server by IPv4 address", devca.Loopback(), ca.Pool(), "127.0.0.1", server, true},
		{"a server by IPv6 address", devca.Loopback(), ca.Pool(), "::1", server, true},
		{"a server certificate used by a client", devca.Loopback(), ca.Pool(), "", client, true},
		{"another name", devca.Loopback(), ca.Pool(), "example.com", server, false},
		{"another CA with the same name", devca.Loopback(), other.Pool(), "localhost", server, false},
		{"expired", expired, ca.Pool(), "localhost", server, false},
		{"not valid yet", early, ca.Pool(), "localhost", server, false},
		{"a server by another address", devca.Leaf{CommonName: "n", IPs: []net.IP{net.IPv4(192, 0, 2, 1)}}, ca.Pool(), "192.0.2.1", server, true},
		{"a client", devca.Leaf{CommonName: "c", Client: true}, ca.Pool(), "", client, true},
		{"a client certificate used by a server", devca.Leaf{CommonName: "c", DNSNames: []string{"c.example"}, Client: true}, ca.Pool(), "c.example", server, false},
	} {
		cert := issue(t, ca, test.leaf)
		_, err := cert.Verify(x509.VerifyOptions{Roots: test.roots, DNSName: test.host, KeyUsages: []x509.ExtKeyUsage{test.usage}})
		if (err == nil) != test.valid {
			t.Errorf("%s: %v; want it valid: %v", test.name, err, test.valid)
		}
		if cert.Subject.CommonName != test.leaf.CommonName {
			t.Errorf("%s: common name %q", test.name, cert.Subject.CommonName)
		}
	}
}

func TestCA_ExpiresWithinOneYear(t *testing.T) {
	ca := newCA(t)
	block, rest := pem.Decode(ca.PEM())
	if block == nil || len(rest) != 0 {
		t.Fatal("the CA is not one PEM block")
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string]*x509.Certificate{"the CA": root, "a leaf": issue(t, ca, devca.Loopback())} {
		if left := time.Until(cert.NotAfter); left > 366*24*time.Hour {
			t.Errorf("%s is valid for another %v", name, left)
		}
	}
	if !root.IsCA || issue(t, ca, devca.Loopback()).IsCA {
		t.Error("the CA is not marked as a CA, or a leaf is")
	}
}

func TestCA_IssueUsesNewSerialNumbers(t *testing.T) {
	ca := newCA(t)
	if a, b := issue(t, ca, devca.Loopback()), issue(t, ca, devca.Loopback()); a.SerialNumber.Cmp(b.SerialNumber) == 0 {
		t.Error("two certificates have the same serial number")
	}
}

func TestCA_WriteCreatesPrivateFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key, err := newCA(t).Write(dir, "server", devca.Loopback())
	if err != nil {
		t.Fatal(err)
	}
	if cert != filepath.Join(dir, "server.crt") || key != filepath.Join(dir, "server.key") {
		t.Errorf("the paths are %s and %s", cert, key)
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		t.Error(err)
	}
	for _, file := range []string{cert, key} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
	if _, _, err := newCA(t).Write(filepath.Join(dir, "none"), "x", devca.Loopback()); err == nil {
		t.Error("writing to a missing directory succeeded")
	}
}
