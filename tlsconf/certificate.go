package tlsconf

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// keyPair parses and checks the certificate chain and its key. The returned time is the first expiry in the chain.
func (f files) keyPair(usage x509.ExtKeyUsage, now time.Time) (tls.Certificate, time.Time, error) {
	chain, err := parseCertificates(f.certificate.data)
	if err == nil {
		err = checkChain(chain, usage, now)
	}
	if err != nil {
		return tls.Certificate{}, time.Time{}, f.certificate.fail(err)
	}
	pair := tls.Certificate{Leaf: chain[0]}
	for _, cert := range chain {
		pair.Certificate = append(pair.Certificate, cert.Raw)
	}
	if pair.PrivateKey, err = parsePrivateKey(f.key.data, chain[0]); err != nil {
		return tls.Certificate{}, time.Time{}, f.key.fail(fmt.Errorf(
			"does not belong to the certificate in %s, or is not an unencrypted PEM key: %w", f.certificate.path, err))
	}
	return pair, firstExpiry(chain), nil
}

// parsePrivateKey returns the first private key in a PEM text. It fails closed: it rejects a key that does not belong to cert.
// It does what tls.X509KeyPair does, and overwrites the decoded key.
func parsePrivateKey(text []byte, cert *x509.Certificate) (crypto.Signer, error) {
	var block *pem.Block
	for block == nil || block.Type != "PRIVATE KEY" && !strings.HasSuffix(block.Type, " PRIVATE KEY") {
		if block, text = pem.Decode(text); block == nil {
			return nil, errors.New("it contains no private key in PEM")
		}
		defer clear(block.Bytes)
	}
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
		func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
	} {
		parsed, err := parse(block.Bytes)
		if err != nil {
			continue
		}
		key, ok := parsed.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("a key of type %T cannot sign", parsed)
		}
		if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(cert.PublicKey) {
			return nil, errors.New("the private key does not match the public key of the certificate")
		}
		return key, nil
	}
	return nil, errors.New("the private key cannot be parsed")
}

// checkChain checks that a peer would accept the chain for usage now.
func checkChain(chain []*x509.Certificate, usage x509.ExtKeyUsage, now time.Time) error {
	for i, cert := range chain {
		if err := checkDates(cert, now); err != nil {
			return fmt.Errorf("certificate %d: %w", i+1, err)
		}
	}
	leaf := chain[0]
	if !allowsUsage(leaf, usage) {
		return fmt.Errorf("its extended key usage does not allow %s, so every peer would reject it; request a certificate that allows it", usageName(usage))
	}
	if usage == x509.ExtKeyUsageServerAuth && len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.URIs) == 0 {
		return errors.New("it has no subject alternative name, so every client would reject it; request a certificate for the names that clients connect to")
	}
	return nil
}

// caBundle parses and checks a file of CA certificates. During a rotation it may contain expired CAs and CAs that are
// not valid yet, but at least one CA must be valid now. The returned time is the first expiry in the file.
func (f file) caBundle(now time.Time) ([]*x509.Certificate, time.Time, error) {
	cas, err := parseCertificates(f.data)
	if err != nil {
		return nil, time.Time{}, f.fail(err)
	}
	var invalid []error
	for i, ca := range cas {
		// crypto/x509 trusts every certificate in a pool, even if it is not a CA certificate.
		if !ca.BasicConstraintsValid || !ca.IsCA || ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0 {
			return nil, time.Time{}, f.fail(fmt.Errorf(
				"certificate %d (%s) is not a CA certificate; leave only CA certificates in this file", i+1, ca.Subject))
		}
		if err := checkDates(ca, now); err != nil {
			invalid = append(invalid, fmt.Errorf("certificate %d: %w", i+1, err))
		}
	}
	if len(invalid) == len(cas) {
		return nil, time.Time{}, f.fail(fmt.Errorf("no CA in it is valid now: %w", errors.Join(invalid...)))
	}
	return cas, firstExpiry(cas), nil
}

// parseCertificates parses a PEM file of one or more certificates. Unlike crypto/x509 it does not skip what it cannot
// read, so a half-written file is an error and not a shorter list.
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
			return nil, fmt.Errorf("PEM block %d is a private key; move it to a separate file", n)
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("PEM block %d is not a CERTIFICATE; leave only certificates in this file", n)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be parsed, replace it: %w", n, err)
		}
		certs = append(certs, cert)
	}
	if begun := bytes.Count(data, []byte("-----BEGIN")); begun != len(certs) {
		return nil, fmt.Errorf("the file is damaged or half-written: %d PEM blocks begin, but only %d can be read", begun, len(certs))
	}
	if len(certs) == 0 {
		return nil, errors.New("contains no certificate; it must be a PEM file with BEGIN CERTIFICATE lines")
	}
	return certs, nil
}

// checkDates checks that cert is within its validity period.
func checkDates(cert *x509.Certificate, now time.Time) error {
	date := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("%s is not valid before %s, and the time is %s; correct the clock or wait",
			cert.Subject, date(cert.NotBefore), date(now))
	}
	if now.After(cert.NotAfter) {
		return fmt.Errorf("%s expired on %s, and the time is %s; renew it", cert.Subject, date(cert.NotAfter), date(now))
	}
	return nil
}

// allowsUsage reports whether cert may be used for usage. A certificate without the extension may be used for everything
// (RFC 5280, section 4.2.1.12).
func allowsUsage(cert *x509.Certificate, usage x509.ExtKeyUsage) bool {
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

func firstExpiry(certs []*x509.Certificate) time.Time {
	return slices.MinFunc(certs, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}
