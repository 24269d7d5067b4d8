package tlsconf

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Reasons for which a client's certificate is not believed.
var (
	// ErrUntrusted: it is of no CA that is in force now, or one of its chain has expired.
	ErrUntrusted = errors.New("the certificate is of no client CA that is in force")
	// ErrRevoked: it, or a CA between it and the root, is on the deny list or on its CA's revocation list.
	ErrRevoked = errors.New("the certificate has been revoked")
)

// clientTrust is what client certificates are judged by. It never changes.
type clientTrust struct {
	pool    *x509.CertPool
	roots   map[string][]string        // the names of CAs, by their certificates (DER); one each
	revoked map[string]map[serial]bool // by the certificate of the CA (DER)
	denied  denied
}

// serial is a certificate's serial number (RFC 5280, section 4.1.2.2: at most 20 bytes), in big-endian order.
type serial [20]byte

// serialOf fails closed with the rest of what it returns: ok is false for a number that no CA may give.
func serialOf(cert *x509.Certificate) (s serial, ok bool) {
	if cert.SerialNumber == nil || cert.SerialNumber.Sign() < 0 || cert.SerialNumber.BitLen() > len(s)*8 {
		return serial{}, false
	}
	cert.SerialNumber.FillBytes(s[:])
	return s, true
}

// addTrust notes which files there are of clients' CAs and their revocations.
func (s *Server) addTrust(f ServerFiles) error {
	if f.ClientCA != "" {
		s.authorities = []string{DefaultClientCA}
		s.live.files.cas = []file{{field: "client_ca", path: f.ClientCA}}
	}
	for i, ca := range f.ClientCAs {
		at := fmt.Sprintf("client_cas[%d]", i)
		switch {
		case ca.Name == "":
			return &FieldError{Field: at + ".name", Err: errors.New("missing: how clients' certificates call this CA")}
		case slices.Contains(s.authorities, ca.Name):
			return &FieldError{Field: at + ".name", Err: fmt.Errorf("%q is another CA's already", ca.Name)}
		case ca.File == "":
			return &FieldError{Field: at + ".file", Err: errors.New("missing: a PEM file with the certificate of the CA")}
		}
		s.authorities = append(s.authorities, ca.Name)
		s.live.files.cas = append(s.live.files.cas, file{field: at + ".file", path: ca.File})
	}
	for i, path := range f.CRLs {
		s.live.files.crls = append(s.live.files.crls, file{field: fmt.Sprintf("crls[%d]", i), path: path})
	}
	if len(s.authorities) == 0 && (len(f.CRLs) > 0 || f.Denied != "") {
		return &FieldError{Field: "client_ca", Err: errors.New("missing: without a client CA there are no certificates to revoke")}
	}
	return nil
}

// trust makes one of the contents of f, and tells what of it expires.
func (s *Server) trust(f files) (*clientTrust, []Expiry, error) {
	t := &clientTrust{pool: x509.NewCertPool(), roots: make(map[string][]string), revoked: make(map[string]map[serial]bool)}
	var expiries []Expiry
	var all []*x509.Certificate
	for i, bundle := range f.cas {
		cas, notAfter, err := bundle.bundle(s.now())
		if err != nil {
			return nil, nil, err
		}
		for _, ca := range cas {
			if owner := t.ownerOf(ca, all); owner != "" && owner != s.authorities[i] {
				return nil, nil, bundle.fail(fmt.Errorf("%s has the key of a CA in %q, whose clients would be this one's, too: leave it in one of them", ca.Subject, owner))
			}
			t.pool.AddCert(ca)
			t.roots[string(ca.Raw)] = s.authorities[i : i+1 : i+1]
			all = append(all, ca)
		}
		name := s.authorities[i]
		if name != DefaultClientCA {
			name = "client_ca_" + name
		}
		expiries = append(expiries, Expiry{File: name, NotAfter: notAfter})
	}
	var err error
	if t.denied, err = parseDenied(f.denied.data); err != nil {
		return nil, nil, f.denied.fail(err)
	}
	for _, one := range f.crls {
		until, err := t.addCRLs(one.data, all, s.now())
		if err != nil {
			return nil, nil, one.fail(err)
		}
		if !until.IsZero() {
			expiries = append(expiries, Expiry{File: one.field, NotAfter: until})
		}
	}
	return t, expiries, nil
}

// ownerOf is the name of the CA in all that has ca's key, under any certificate; empty where none has.
func (t *clientTrust) ownerOf(ca *x509.Certificate, all []*x509.Certificate) string {
	for _, other := range all {
		if bytes.Equal(ca.RawSubjectPublicKeyInfo, other.RawSubjectPublicKeyInfo) {
			return t.roots[string(other.Raw)][0]
		}
	}
	return ""
}

// Authorities tells of which client CAs a certificate is, at this moment: chains are those that TLS or Verify has found
// from it to roots, perhaps long ago. There is one, but for certificates that two CAs have signed.
//
// It fails closed: a chain counts only if its root is a CA in force, every certificate in it is within its dates, and none is
// revoked. Where none counts, the error is ErrRevoked or ErrUntrusted.
func (s *Server) Authorities(chains [][]*x509.Certificate) (names []string, err error) {
	t := s.live.current.Load().trust
	if t == nil {
		return nil, ErrUntrusted
	}
	err = ErrUntrusted
	now := s.now()
	for _, chain := range chains {
		of, bad := t.judge(chain, now)
		switch {
		case bad != nil && errors.Is(bad, ErrRevoked):
			return nil, bad // what one CA has revoked is not good for another
		case bad != nil:
		case names == nil:
			names = of
		case !slices.Contains(names, of[0]):
			names = append(names[:len(names):len(names)], of...)
		}
	}
	if names == nil {
		return nil, err
	}
	return names, nil
}

func (t *clientTrust) judge(chain []*x509.Certificate, now time.Time) ([]string, error) {
	if len(chain) == 0 {
		return nil, ErrUntrusted
	}
	names := t.roots[string(chain[len(chain)-1].Raw)]
	if len(names) == 0 {
		return nil, ErrUntrusted
	}
	for i, cert := range chain {
		if now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
			return nil, ErrUntrusted
		}
		if t.denied.has(cert) {
			return nil, ErrRevoked
		}
		if len(t.revoked) == 0 || i == len(chain)-1 {
			continue
		}
		number, ok := serialOf(cert)
		if !ok || t.revoked[string(chain[i+1].Raw)][number] {
			return nil, ErrRevoked
		}
	}
	return names, nil
}

// Verify finds the chains from a client's certificate that did not come by TLS, such as one that a proxy forwards, to
// the client CAs in force.
func (s *Server) Verify(leaf *x509.Certificate, intermediates []*x509.Certificate) ([][]*x509.Certificate, error) {
	t := s.live.current.Load().trust
	if t == nil || leaf == nil {
		return nil, ErrUntrusted
	}
	options := x509.VerifyOptions{
		Roots: t.pool, Intermediates: x509.NewCertPool(), CurrentTime: s.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range intermediates {
		options.Intermediates.AddCert(c)
	}
	chains, err := leaf.Verify(options)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return chains, nil
}

// ClientPool holds the client CAs in force; nil where there are none. It is another pool after a reload, and never changes.
func (s *Server) ClientPool() *x509.CertPool {
	if t := s.live.current.Load().trust; t != nil {
		return t.pool
	}
	return nil
}

// ClientCAs are the names of the CAs that Authorities may speak of.
func (s *Server) ClientCAs() []string { return slices.Clone(s.authorities) }

// fingerprint of a certificate is SHA-256 of its DER.
type fingerprint [sha256.Size]byte
