// Package certchaintest makes chains of certificates for tests. Unlike internal/devca, it can make wrong ones.
package certchaintest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// Now is when the certificates are valid: one hour before and after it, unless Issue's change says otherwise.
var Now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// Entity is a certificate and its private key.
type Entity struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// Issue returns a certificate for client authentication with a new key. It is signed by parent, or by itself if parent is nil.
// change may change its template.
func Issue(t testing.TB, name string, parent *Entity, change func(*x509.Certificate)) *Entity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return IssueKey(t, name, key, parent, change)
}

// IssueKey is Issue for a key that exists already.
func IssueKey(t testing.TB, name string, key *ecdsa.PrivateKey, parent *Entity, change func(*x509.Certificate)) *Entity {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: Now.Add(-time.Hour), NotAfter: Now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	signer := &Entity{template, key}
	if parent != nil {
		signer = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.Cert, &key.PublicKey, signer.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Entity{cert, key}
}

// IsCA is a change for Issue that makes the certificate a CA.
func IsCA(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
}
