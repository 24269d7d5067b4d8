package access

import (
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/netip"
	"time"
)

// Credentials is what a request shows about its sender. Certificates and signatures are already verified.
type Credentials struct {
	// Certificate is the verified leaf certificate of the TLS connection, or the one that a trusted proxy forwarded. Nil
	// if the sender has shown no certificate.
	Certificate *x509.Certificate
	// ClientCAs are the names of the configured CAs that signed Certificate. A certificate without a CA is rejected.
	ClientCAs []string
	// CommonName replaces Certificate if a trusted proxy forwards only the common name of a certificate.
	CommonName string
	// Authorization is all values of the Authorization header.
	Authorization []string
	// SignatureKey is the id of the key whose signature of the request was verified. Empty if the request is not signed.
	SignatureKey string
	// Remote is the client's address: the peer of the connection, or the address that a trusted proxy reported. The zero
	// address is in no network.
	Remote netip.Addr
}

// Identity is the result of Policy.Authenticate: the client of a request, or no client. The zero Identity is denied
// everything.
type Identity struct {
	policy *Policy
	client *client     // nil without a client
	names  names       // of the certificate, for key patterns
	proofs protections // which credentials the client has shown
	remote netip.Addr
}

// Client returns the name of the client in the configuration, or "" without a client.
func (id Identity) Client() string {
	if id.client == nil {
		return ""
	}
	return id.client.name
}

// Limits returns the limits of the client. A limit that the client's configuration does not set is 0.
func (id Identity) Limits() Limits {
	if id.client == nil {
		return Limits{}
	}
	return id.client.limits
}

// AuthenticatedBy returns the kinds of credentials that the client has shown: "certificate", "token", "signed".
func (id Identity) AuthenticatedBy() []string { return id.proofs.list() }

// Authenticate decides which client sent a request. Without credentials, or with only a certificate that belongs to no
// client, it returns an Identity without a client and no error.
//
// It fails closed. It returns
//
//   - ErrMalformed for an Authorization header that cannot be parsed;
//   - ErrUnauthenticated for a certificate that is not valid now, is from no client CA or belongs to two clients, for an
//     unknown token, for a token from outside its networks and for the signature of an unknown key;
//   - ErrConflict for credentials of different clients.
func (p *Policy) Authenticate(c Credentials) (Identity, error) {
	id := Identity{policy: p, remote: c.Remote}
	bearer, err := parseBearer(c.Authorization)
	if err != nil {
		return Identity{}, err
	}
	if c.CommonName != "" {
		if c, err = p.withForwardedName(c); err != nil {
			return Identity{}, err
		}
	}
	if c.Certificate != nil {
		if err := p.authenticateCertificate(&id, c); err != nil {
			return Identity{}, err
		}
	}
	if bearer != "" {
		owner, err := p.tokenOwner(bearer, c.Remote)
		if err != nil {
			return Identity{}, err
		}
		if err := id.addProof(owner, token); err != nil {
			return Identity{}, err
		}
	}
	if c.SignatureKey != "" {
		owner := p.signatureKeys[c.SignatureKey]
		if owner == nil {
			return Identity{}, fmt.Errorf("%w: the signature's key belongs to no client", ErrUnauthenticated)
		}
		if err := id.addProof(owner, signed); err != nil {
			return Identity{}, err
		}
	}
	return id, nil
}

// addProof records that a credential of owner was shown. It fails closed: if another credential belongs to another client,
// it returns ErrConflict.
func (id *Identity) addProof(owner *client, kind protections) error {
	if id.client != nil && id.client != owner {
		return ErrConflict
	}
	id.client = owner
	id.proofs |= kind
	return nil
}

// authenticateCertificate sets the client of id to the owner of the certificate. If it belongs to no client, id keeps no
// client. It fails closed: it returns ErrUnauthenticated for a certificate that is not valid now, is from no client CA or
// belongs to two clients. It checks the dates because TLS checked them when the connection was made, perhaps long ago.
func (p *Policy) authenticateCertificate(id *Identity, c Credentials) error {
	if !validAt(c.Certificate, p.now()) {
		return fmt.Errorf("%w: the client's certificate is not valid now", ErrUnauthenticated)
	}
	if len(c.ClientCAs) == 0 {
		return fmt.Errorf("%w: the client's certificate is not from a current client CA", ErrUnauthenticated)
	}
	for _, candidate := range p.clients {
		names, ok := candidate.hasCertificate(c.Certificate, c.ClientCAs)
		if !ok {
			continue
		}
		if id.client != nil {
			return fmt.Errorf("%w: the certificate belongs to both client %q and client %q", ErrUnauthenticated, id.client.name, candidate.name)
		}
		id.client, id.names, id.proofs = candidate, names, certificate
	}
	return nil
}

// tokenOwner returns the client that t belongs to. It fails closed: an unknown token and a token from outside its networks
// are the same ErrUnauthenticated, so that a thief does not learn that a token is valid elsewhere. So is a token that is not of the
// form of NewToken, if its rule requires it. It compares t with every
// token in constant time, so that the response time does not reveal a token.
func (p *Policy) tokenOwner(t Token, remote netip.Addr) (*client, error) {
	hash, generated := t.Hash(), t.isGenerated()
	var owner *client
	for _, c := range p.clients {
		for i := range c.tokens {
			rule := &c.tokens[i]
			if subtle.ConstantTimeCompare(hash[:], rule.hash[:]) == 1 && (generated || !rule.generated) && (len(rule.networks) == 0 || contains(rule.networks, remote)) {
				owner = c
			}
		}
	}
	if owner == nil {
		return nil, fmt.Errorf("%w: unknown token, or not from this network", ErrUnauthenticated)
	}
	return owner, nil
}

// withForwardedName returns c with a certificate that has only the forwarded common name. It fails closed: if there is a
// certificate too, it returns ErrConflict. Without a configured CA for forwarded names, the certificate is from no CA, and
// Authenticate rejects it.
func (p *Policy) withForwardedName(c Credentials) (Credentials, error) {
	if c.Certificate != nil {
		return Credentials{}, ErrConflict
	}
	now := p.now()
	c.Certificate = &x509.Certificate{Subject: pkix.Name{CommonName: c.CommonName}, NotBefore: now, NotAfter: now.Add(time.Minute)}
	c.ClientCAs = nil
	if p.clientDNCA != "" {
		c.ClientCAs = []string{p.clientDNCA}
	}
	return c, nil
}

// validAt reports whether t is within the validity period of cert.
func validAt(cert *x509.Certificate, t time.Time) bool {
	return !t.After(cert.NotAfter) && !t.Before(cert.NotBefore)
}
