package tlsconf

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"userinfo/internal/keyfile"
)

// file is one configured file. An empty path means that it is not configured; data is nil until it is read.
type file struct {
	field, path string
	secret      bool // its owner's alone, or refused; errors then have no path, which may be what it should hold
	data        []byte
}

func (f file) fail(err error) error {
	if f.secret {
		return &FieldError{Field: f.field, Err: err}
	}
	return &FieldError{Field: f.field, Err: fmt.Errorf("%s: %w", f.path, err)}
}

// files are what a Server or a Client is made from.
type files struct {
	certificate, key file
	cas              []file // bundles
	crls             []file
	denied           file
	ticketKey        file
}

// all lists the files of f, so that they can be changed.
func (f *files) all() []*file {
	all := []*file{&f.certificate, &f.key, &f.denied, &f.ticketKey}
	for i := range f.cas {
		all = append(all, &f.cas[i])
	}
	for i := range f.crls {
		all = append(all, &f.crls[i])
	}
	return all
}

// read returns a copy with the contents of every configured file.
func (f files) read() (files, error) {
	f.cas, f.crls = slices.Clone(f.cas), slices.Clone(f.crls)
	for _, one := range f.all() {
		if one.path == "" {
			continue
		}
		if one.secret {
			text, err := keyfile.Read(one.path, func(text []byte) ([]byte, error) { return text, nil })
			if err != nil {
				return files{}, one.fail(err)
			}
			one.data = text
			continue
		}
		data, err := os.ReadFile(one.path)
		if err != nil {
			return files{}, &FieldError{Field: one.field, Err: fmt.Errorf("the file cannot be read: %w", err)}
		}
		one.data = data
	}
	return f, nil
}

// digest tells contents apart without keeping the private key's text.
func (f files) digest() [sha256.Size]byte {
	h := sha256.New()
	for _, one := range f.all() {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(one.data)))
		h.Write(size[:])
		h.Write(one.data)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// pair makes a certificate for usage of certificate and key. The time is that of the chain's first expiry.
func (f files) pair(usage x509.ExtKeyUsage, now time.Time) (tls.Certificate, time.Time, error) {
	chain, err := parseCertificates(f.certificate.data)
	if err != nil {
		return tls.Certificate{}, time.Time{}, f.certificate.fail(err)
	}
	for i, cert := range chain {
		if err := checkDates(cert, now); err != nil {
			return tls.Certificate{}, time.Time{}, f.certificate.fail(fmt.Errorf("certificate %d: %w", i+1, err))
		}
	}
	if !serves(chain[0], usage) {
		return tls.Certificate{}, time.Time{}, f.certificate.fail(fmt.Errorf(
			"its extended key usage does not allow %s, so every peer would refuse it: have one issued that does", usageName(usage)))
	}
	if usage == x509.ExtKeyUsageServerAuth && len(chain[0].DNSNames)+len(chain[0].IPAddresses)+len(chain[0].URIs) == 0 {
		return tls.Certificate{}, time.Time{}, f.certificate.fail(errors.New(
			"it has no subject alternative name, so every client would refuse it: have one issued for the names that clients use"))
	}
	pair, err := tls.X509KeyPair(f.certificate.data, f.key.data)
	if err != nil { // the certificate is known to be readable, so what is wrong is wrong with the key
		return tls.Certificate{}, time.Time{}, f.key.fail(fmt.Errorf(
			"does not belong to the certificate in %s, or is no unencrypted PEM key: %w", f.certificate.path, err))
	}
	return pair, earliest(chain), nil
}

// bundle reads a file of CAs. It may hold CAs that have expired or are not valid yet, as it does while one follows
// another, but one of them must be valid now. The time is that of the first expiry.
func (f file) bundle(now time.Time) ([]*x509.Certificate, time.Time, error) {
	cas, err := parseCertificates(f.data)
	if err != nil {
		return nil, time.Time{}, f.fail(err)
	}
	var invalid []error
	for i, ca := range cas {
		// crypto/x509 takes whatever is in a pool for trusted, a leaf too.
		if !ca.BasicConstraintsValid || !ca.IsCA || ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0 {
			return nil, time.Time{}, f.fail(fmt.Errorf(
				"certificate %d (%s) is not a CA's: leave only the certificates of CAs in this file", i+1, ca.Subject))
		}
		if err := checkDates(ca, now); err != nil {
			invalid = append(invalid, fmt.Errorf("certificate %d: %w", i+1, err))
		}
	}
	if len(invalid) == len(cas) {
		return nil, time.Time{}, f.fail(fmt.Errorf("none of its CAs is valid now: %w", errors.Join(invalid...)))
	}
	return cas, earliest(cas), nil
}

// parseCertificates reads a PEM file of one or more certificates. It is stricter than crypto/x509, which skips what
// it cannot read: a file caught half-written must not pass for a shorter one.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	rest := data
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		n := len(certs) + 1
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return nil, fmt.Errorf("PEM block %d is a private key: keep it in a file of its own, and only certificates here", n)
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("PEM block %d is not a CERTIFICATE: leave only certificates in this file", n)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be parsed, replace it: %w", n, err)
		}
		certs = append(certs, cert)
	}
	if begun := bytes.Count(data, []byte("-----BEGIN")); begun != len(certs) {
		return nil, fmt.Errorf("%d PEM blocks begin but %d can be read: the file is damaged or half-written", begun, len(certs))
	}
	if len(certs) == 0 {
		return nil, errors.New("holds no certificate: it must be PEM, with BEGIN CERTIFICATE lines")
	}
	return certs, nil
}

func checkDates(cert *x509.Certificate, now time.Time) error {
	date := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("%s is not valid before %s and it is %s: set the clock right or wait",
			cert.Subject, date(cert.NotBefore), date(now))
	}
	if now.After(cert.NotAfter) {
		return fmt.Errorf("%s expired on %s and it is %s: renew it", cert.Subject, date(cert.NotAfter), date(now))
	}
	return nil
}

// serves says whether cert may be used for usage (RFC 5280 section 4.2.1.12: no extension allows everything).
func serves(cert *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(cert.ExtKeyUsage) == 0 && len(cert.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(cert.ExtKeyUsage, usage) || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
}

func usageName(usage x509.ExtKeyUsage) string {
	if usage == x509.ExtKeyUsageServerAuth {
		return "server authentication"
	}
	return "client authentication"
}

func earliest(certs []*x509.Certificate) time.Time {
	return slices.MinFunc(certs, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}
