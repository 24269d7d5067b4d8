// Package forwarded reads who a client is from the header fields of a proxy that has ended the client's TLS: RFC 9440's
// Client-Cert and Client-Cert-Chain, and, where it is configured, a field with a distinguished name.
//
// Invariants:
//
//  1. Such a field is believed from a listed proxy, and is an error from anybody else; it is never ignored.
//  2. A certificate is verified here as TLS would have: against the given CAs, for client authentication, at the given
//     time. That its owner holds the key is the proxy's word.
//  3. What can be read in two ways is an error: two fields of a name, a name that another program would take for one of
//     them, a certificate and a distinguished name, two common names, an escape.
//
// It does not defend against a listed proxy, which can be any client of the CAs whose certificate it has seen (and
// they are public), nor against one that passes on what clients send: a proxy must remove these fields first. With the
// field of a distinguished name it can be any client at all, and so can whoever has the CA sign a name of their choice.
package forwarded

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The fields, as net/http spells them.
const (
	CertField  = "Client-Cert"       // RFC 9440, section 2.2
	ChainField = "Client-Cert-Chain" // RFC 9440, section 2.3
)

// Reasons for a refusal. None of them quotes a field.
var (
	// ErrUntrustedPeer: who is no listed proxy says who somebody else is. A bad request.
	ErrUntrustedPeer = errors.New("a client's identity is forwarded by no listed proxy")
	// ErrMalformed: a field cannot be read, or in more than one way. A bad request.
	ErrMalformed = errors.New("malformed identity forwarded by a proxy")
	// ErrUnverified: the certificate is of no known CA, not for a client, or not valid now. Not authenticated.
	ErrUnverified = errors.New("the certificate forwarded by a proxy does not verify")
)

// Peer is who sent the request, as TLS has proved. The zero Peer is nobody that is believed.
type Peer int

// The peers.
const (
	UntrustedPeer Peer = iota
	TrustedProxy       // its own verified certificate is that of a proxy in the configuration
)

// Rules say what is believed of listed proxies. They are safe for concurrent use. The zero Rules verify no certificate
// and know no DN field.
type Rules struct {
	roots    *x509.CertPool
	dnField  string
	verified memory
}

// NewRules makes Rules of the CAs of the clients' certificates, where nil is none and not the system's, and of the
// name of the field with the distinguished name of the client's certificate, such as X-Client-Dn: X- and then
// letters, digits and hyphens, so that it has no meaning of its own. Without that name there is no such field. It is the
// weaker way: the proxy's word is all there is. roots must not change; where a CA does, make new Rules.
func NewRules(roots *x509.CertPool, dnField string) (*Rules, error) {
	name := http.CanonicalHeaderKey(dnField)
	rest, ok := strings.CutPrefix(name, "X-")
	if dnField != "" && (!ok || rest == "" || strings.Trim(strings.ToLower(rest), "abcdefghijklmnopqrstuvwxyz0123456789-") != "") {
		return nil, errors.New("give the name of a header such as X-Client-Dn, which begins with X- and has letters, digits and hyphens only")
	}
	return &Rules{roots: roots, dnField: name}, nil
}

// Client is whom a proxy speaks for. At most one of its fields is set; with neither it is nobody that is known, and is
// not the proxy either.
type Client struct {
	// Chains are those of the certificate, leaf first, as in tls.ConnectionState.VerifiedChains. They are shared: read only.
	Chains [][]*x509.Certificate
	// CommonName of the distinguished name.
	CommonName string
}

// Client reads the client's identity from h, which came from a peer. It fails closed: any of the fields from whom
// is no listed proxy is ErrUntrustedPeer; one that comes twice, cannot be read, or comes with another that says the same,
// and a name that differs from a field's by what stands for a hyphen (Client_Cert), is ErrMalformed; a certificate that
// none of the CAs has signed for a client, or that is not valid at now, is ErrUnverified.
func (r *Rules) Client(h http.Header, from Peer, now time.Time) (Client, error) {
	if err := r.lookalike(h); err != nil {
		return Client{}, err
	}
	cert, chain, dn := h[CertField], h[ChainField], []string(nil)
	if r.dnField != "" {
		dn = h[r.dnField]
	}
	switch {
	case cert == nil && chain == nil && dn == nil:
		return Client{}, nil
	case from != TrustedProxy:
		return Client{}, ErrUntrustedPeer
	case cert == nil && chain != nil:
		return Client{}, fmt.Errorf("%w: %s without %s", ErrMalformed, ChainField, CertField)
	case cert != nil && dn != nil:
		return Client{}, fmt.Errorf("%w: both %s and %s; the proxy must send one of them and remove the other", ErrMalformed, CertField, r.dnField)
	case dn != nil:
		name, err := commonName(dn)
		return Client{CommonName: name}, err
	}
	chains, err := r.verify(cert, chain, now)
	return Client{Chains: chains}, err
}

// lookalike finds a field that a program with CGI's idea of names would take for one of ours.
func (r *Rules) lookalike(h http.Header) error {
	for name := range h {
		if len(name) != len(CertField) && len(name) != len(ChainField) && len(name) != len(r.dnField) {
			continue
		}
		plain := http.CanonicalHeaderKey(strings.Map(hyphen, name))
		if ours := plain == CertField || plain == ChainField || plain == r.dnField && r.dnField != ""; ours && plain != name {
			return fmt.Errorf("%w: a field's name is that of %s but for the hyphens", ErrMalformed, plain)
		}
	}
	return nil
}

// hyphen is what some programs make of the bytes that a name may have.
func hyphen(r rune) rune {
	if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
		return r
	}
	return '-'
}
