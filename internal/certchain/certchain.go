// Package certchain verifies the certificates that clients present, with a bound on what a stranger's certificates can
// cost.
//
//	certificates ──▶ at most 1 + MaxIssuers? ──▶ remembered? ──▶ signatures, from the CA down ──▶ crypto/x509 ──▶ chains
//
// crypto/x509 goes up from the client's certificate, so it verifies signatures with keys that the client chose, and tries
// up to 100 of them. Verifier first goes down from the CAs and stops where a signature is missing. Only a chain that is
// signed down to the client's certificate reaches crypto/x509, which decides.
//
// Invariants:
//
//  1. A signature is only verified with the key of a CA, or of a certificate that a CA has signed, directly or not.
//  2. At most MaxIssuers certificates beyond the client's own are verified. A longer list is refused unread.
//  3. The second signature that does not match ends the verification.
//  4. crypto/x509 verifies every chain before it is accepted. A remembered chain is used only for exactly the same
//     certificates, by the same Verifier, and only while each certificate in it is valid.
//  5. Strangers cannot fill the memory of verified chains: a list with a certificate that no CA has signed is not
//     remembered.
//
// The package does not defend against a CA whose own hierarchy is costly: many CAs with one name, or slow keys.
package certchain

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// MaxIssuers is the maximum number of certificates that a client may send beyond its own.
const MaxIssuers = 4

// Reasons for refusing certificates, beside the errors of crypto/x509.
var (
	// ErrTooLong means that the client sent more than 1 + MaxIssuers certificates.
	ErrTooLong = fmt.Errorf("more than %d certificates beyond the client's own", MaxIssuers)
	// ErrUnknownCA means that no chain of signatures leads from a CA to the client's certificate.
	ErrUnknownCA = errors.New("no client CA has issued the certificate")
)

// maxMismatches is how many signatures may fail to match. Certificates with key identifiers, which RFC 5280 requires,
// cause none. One is for a client whose CA left them out and changed its key.
const maxMismatches = 1

// Verifier verifies clients' certificates against fixed CAs. It is safe for concurrent use. A nil Verifier has no CAs.
type Verifier struct {
	pool       *x509.CertPool
	bySubject  map[string][]*x509.Certificate
	cache      Cache
	signatures func() // called for each signature that Verifier verifies itself; for tests
}

// New returns a Verifier of the CAs.
func New(cas ...*x509.Certificate) *Verifier {
	v := &Verifier{pool: x509.NewCertPool(), bySubject: make(map[string][]*x509.Certificate), signatures: func() {}}
	for _, ca := range cas {
		v.pool.AddCert(ca)
		v.bySubject[string(ca.RawSubject)] = append(v.bySubject[string(ca.RawSubject)], ca)
	}
	return v
}

// Pool returns the CAs. The caller must not change the pool.
func (v *Verifier) Pool() *x509.CertPool { return v.pool }

// Verify returns the chains from certs[0], the client's certificate, to the CAs. The other certificates may help, in any
// order. Verify remembers the chains. The caller must not change them.
//
// It fails closed: without CAs, without a certificate, with more than 1 + MaxIssuers certificates, and without a chain
// that crypto/x509 accepts for client authentication at now, it returns an error.
func (v *Verifier) Verify(certs []*x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	switch {
	case v == nil || len(certs) == 0:
		return nil, ErrUnknownCA
	case len(certs) > 1+MaxIssuers:
		return nil, ErrTooLong
	}
	key := keyOf(certs)
	if chains := v.cache.Get(key, now); chains != nil {
		return chains, nil
	}
	issuers, err := v.signedIssuers(certs)
	if err != nil {
		return nil, err
	}
	options := x509.VerifyOptions{
		Roots: v.pool, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range issuers {
		options.Intermediates.AddCert(c)
	}
	chains, err := certs[0].Verify(options)
	if err != nil {
		return nil, err
	}
	if len(issuers) == len(certs)-1 {
		v.cache.Put(key, chains)
	}
	return chains, nil
}

// Remembered returns the chains of a list of certificates in DER that Verify has remembered, or nil. It fails closed as
// Cache.Get does.
func (v *Verifier) Remembered(certs [][]byte, now time.Time) [][]*x509.Certificate {
	if v == nil {
		return nil
	}
	return v.cache.Get(sha256.Sum256(bytes.Join(certs, nil)), now)
}

// keyOf returns the SHA-256 of all certificates. DER contains its length, so no two lists have the same bytes.
func keyOf(certs []*x509.Certificate) Key {
	h := sha256.New()
	for _, c := range certs {
		h.Write(c.Raw)
	}
	return Key(h.Sum(nil))
}

// signedIssuers returns the certificates in certs[1:] that are CAs or that CAs have signed, directly or not. It fails
// closed: if no signature leads to certs[0], it returns ErrUnknownCA. Without certs[1:], crypto/x509 has only the keys of
// CAs to try, and signedIssuers leaves it to crypto/x509.
func (v *Verifier) signedIssuers(certs []*x509.Certificate) (signed []*x509.Certificate, err error) {
	if len(certs) == 1 {
		return nil, nil
	}
	s := search{v: v}
	for waiting := certs[1:]; ; {
		rest, err := s.take(waiting)
		if err != nil {
			return nil, err
		}
		if len(rest) == len(waiting) {
			break
		}
		waiting = rest
	}
	if ok, _ := s.isSigned(certs[0]); !ok {
		return nil, ErrUnknownCA
	}
	return s.signed, nil
}

// search is one search down from the CAs.
type search struct {
	v          *Verifier
	signed     []*x509.Certificate
	tried      [][2]*x509.Certificate // certificate and issuer whose signature did not match
	mismatches int
}

// take moves certificates from waiting to s.signed, and returns the rest.
func (s *search) take(waiting []*x509.Certificate) (rest []*x509.Certificate, err error) {
	for _, c := range waiting {
		ok, err := s.isSigned(c)
		switch {
		case err != nil:
			return nil, err
		case ok:
			s.signed = append(s.signed, c)
		default:
			rest = append(rest, c)
		}
	}
	return rest, nil
}

// isSigned reports whether c is a CA, or signed by a CA or by a certificate in s.signed. It fails closed: after too many
// signatures that do not match it returns ErrUnknownCA.
func (s *search) isSigned(c *x509.Certificate) (bool, error) {
	for _, ca := range s.v.bySubject[string(c.RawSubject)] {
		if ca.Equal(c) {
			return true, nil
		}
	}
	for _, issuers := range [][]*x509.Certificate{s.v.bySubject[string(c.RawIssuer)], s.signed} {
		for _, issuer := range issuers {
			pair := [2]*x509.Certificate{c, issuer}
			if !namesIssuer(c, issuer) || slices.Contains(s.tried, pair) {
				continue
			}
			s.v.signatures()
			if c.CheckSignatureFrom(issuer) == nil {
				return true, nil
			}
			s.tried = append(s.tried, pair)
			if s.mismatches++; s.mismatches > maxMismatches {
				return false, ErrUnknownCA
			}
		}
	}
	return false, nil
}

// namesIssuer reports whether c names issuer as its issuer: by name, and by key identifier if both have one.
func namesIssuer(c, issuer *x509.Certificate) bool {
	if !bytes.Equal(c.RawIssuer, issuer.RawSubject) {
		return false
	}
	return len(c.AuthorityKeyId) == 0 || len(issuer.SubjectKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId)
}
