package tlsconf

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"userinfo/internal/certchain"
)

// Reasons for rejecting a client's certificate.
var (
	// ErrUntrusted means that the certificate was not signed by a client CA, or that a certificate in its chain is not
	// valid now.
	ErrUntrusted = errors.New("the certificate is not from a current client CA")
	// ErrRevoked means that a certificate in the chain is listed as denied, or revoked by its CA.
	ErrRevoked = errors.New("the certificate has been revoked")
)

// clientTrust verifies client certificates. It never changes.
type clientTrust struct {
	clients *certchain.Verifier
	names   map[string][]string        // the name of each CA, by the DER of its certificate; each slice has one element
	revoked map[string]map[serial]bool // revoked serial numbers, by the DER of the CA's certificate
	denied  denied
}

// serial is a certificate's serial number, at most 20 bytes (RFC 5280, section 4.1.2.2), in big-endian order.
type serial [20]byte

// serialOf returns the serial number of cert. ok is false for a number that RFC 5280 forbids, and the caller must then
// reject the certificate.
func serialOf(cert *x509.Certificate) (s serial, ok bool) {
	if cert.SerialNumber == nil || cert.SerialNumber.Sign() < 0 || cert.SerialNumber.BitLen() > len(s)*8 {
		return serial{}, false
	}
	cert.SerialNumber.FillBytes(s[:])
	return s, true
}

// fingerprint is the SHA-256 of a certificate's DER.
type fingerprint [sha256.Size]byte

// loadTrust checks the CA bundles, the deny list and the revocation lists. names are the names of the bundles in f.cas.
func loadTrust(f files, names []string, now time.Time) (*clientTrust, []Expiry, error) {
	t := &clientTrust{names: make(map[string][]string), revoked: make(map[string]map[serial]bool)}
	var expiries []Expiry
	var all []*x509.Certificate
	for i, bundle := range f.cas {
		cas, notAfter, err := bundle.caBundle(now)
		if err != nil {
			return nil, nil, err
		}
		for _, ca := range cas {
			if other := t.nameOfKey(ca, all); other != "" && other != names[i] {
				return nil, nil, bundle.fail(fmt.Errorf("%s has the same key as a CA in %q, so clients of one would be accepted as clients of the other; remove it from one of them", ca.Subject, other))
			}
			t.names[string(ca.Raw)] = []string{names[i]}
			all = append(all, ca)
		}
		expiries = append(expiries, Expiry{File: expiryName(names[i]), NotAfter: notAfter})
	}
	t.clients = certchain.New(all...)
	var err error
	if t.denied, err = parseDenied(f.denied.data); err != nil {
		return nil, nil, f.denied.fail(err)
	}
	for _, one := range f.crls {
		nextUpdate, err := t.addCRLs(one.data, all, now)
		if err != nil {
			return nil, nil, one.fail(err)
		}
		if !nextUpdate.IsZero() {
			expiries = append(expiries, Expiry{File: one.field, NotAfter: nextUpdate})
		}
	}
	return t, expiries, nil
}

// expiryName returns the Expiry.File of a client CA bundle.
func expiryName(bundle string) string {
	if bundle == DefaultClientCA {
		return bundle
	}
	return "client_ca_" + bundle
}

// nameOfKey returns the name of the CA in all that has the same key as ca, or "" if no CA has that key.
func (t *clientTrust) nameOfKey(ca *x509.Certificate, all []*x509.Certificate) string {
	for _, other := range all {
		if bytes.Equal(ca.RawSubjectPublicKeyInfo, other.RawSubjectPublicKeyInfo) {
			return t.names[string(other.Raw)][0]
		}
	}
	return ""
}

// VerifyChains verifies a client's certificate at this moment and returns the names of the client CAs that signed it. Each
// chain goes from the certificate to a root, as VerifiedChains or BuildChains returned it when the connection was made.
// The result has one name, unless several CAs have signed the certificate. The caller must not change it.
//
// It fails closed: a chain counts only if its root is one of the client CAs, every certificate in it is within its
// validity period, and none is revoked. A certificate that one CA has revoked is rejected even if another CA signed it
// too. If no chain counts, the error is ErrUntrusted or ErrRevoked. Without chains or client CAs it is ErrUntrusted.
func (s *Server) VerifyChains(chains [][]*x509.Certificate) (clientCAs []string, err error) {
	if s.trust == nil {
		return nil, ErrUntrusted
	}
	now := s.now()
	for _, chain := range chains {
		name, err := s.trust.verifyChain(chain, now)
		switch {
		case errors.Is(err, ErrRevoked):
			return nil, err
		case err != nil: // another chain may count
		case clientCAs == nil:
			clientCAs = name
		case !slices.Contains(clientCAs, name[0]):
			clientCAs = append(slices.Clip(clientCAs), name...)
		}
	}
	if clientCAs == nil {
		return nil, ErrUntrusted
	}
	return clientCAs, nil
}

// verifyChain returns the name of the chain's root, in a slice of one. It fails closed: see VerifyChains.
func (t *clientTrust) verifyChain(chain []*x509.Certificate, now time.Time) ([]string, error) {
	if len(chain) == 0 {
		return nil, ErrUntrusted
	}
	last := len(chain) - 1
	name := t.names[string(chain[last].Raw)]
	if len(name) == 0 {
		return nil, ErrUntrusted
	}
	for i, cert := range chain {
		if now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
			return nil, ErrUntrusted
		}
		if t.denied.contains(cert) {
			return nil, ErrRevoked
		}
		if i < last && t.isRevoked(cert, chain[i+1]) {
			return nil, ErrRevoked
		}
	}
	return name, nil
}

// isRevoked reports whether the issuer's revocation list contains cert. It fails closed: a serial number that no CA may
// issue counts as revoked.
func (t *clientTrust) isRevoked(cert, issuer *x509.Certificate) bool {
	if len(t.revoked) == 0 {
		return false
	}
	number, ok := serialOf(cert)
	return !ok || t.revoked[string(issuer.Raw)][number]
}

// BuildChains returns the chains from a client's certificate to the client CAs, for a certificate that did not come from
// a TLS handshake. Pass the result to VerifyChains. It fails closed: without a certificate, client CAs or a chain, the
// error is ErrUntrusted.
func (s *Server) BuildChains(leaf *x509.Certificate, intermediates []*x509.Certificate) ([][]*x509.Certificate, error) {
	if s.trust == nil || leaf == nil {
		return nil, ErrUntrusted
	}
	return s.verifyClient(append([]*x509.Certificate{leaf}, intermediates...))
}

// verifyClient returns the chains from certs[0] to the client CAs. It fails closed, as certchain.Verifier.Verify does: the
// error wraps ErrUntrusted.
func (s *Server) verifyClient(certs []*x509.Certificate) ([][]*x509.Certificate, error) {
	chains, err := s.ClientVerifier().Verify(certs, s.now())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return chains, nil
}
