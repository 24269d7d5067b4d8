// Package forwarded reads the client's certificate that a TLS-terminating proxy forwards: in the headers of RFC 9440,
// Client-Cert and Client-Cert-Chain, or in Envoy's X-Forwarded-Client-Cert (XFCC). If it is configured, it also reads a header
// with only the client's distinguished name.
//
// Rules.Client is the security decision: it returns the client that a request is forwarded for.
//
// Invariants:
//
//  1. The headers are accepted only from a trusted proxy, and only the header that is configured for this proxy. In
//     every other case such a header is an error; it is never ignored.
//  2. A forwarded certificate is verified as in a TLS handshake: against the client CAs, for client authentication, at the
//     given time. Only the proxy knows whether the client has the private key.
//  3. What can be read in two ways is an error: a header that is sent twice, a header name that another program would treat as
//     the same name (Client_Cert), a certificate together with a distinguished name, two common names, an escape, an XFCC with
//     several elements or with fields that do not agree.
//  4. A forwarded chain obeys the limits of a TLS handshake: at most certchain.MaxIssuers certificates beyond the client's
//     own, verified from the CA down.
//
// The package does not defend against:
//
//   - a trusted proxy that lies. Certificates are public, so it can claim to forward any client of the client CAs. With the
//     distinguished name header it can claim any client at all, and so can a client that chooses the name in its certificate;
//   - a proxy that passes on these headers from its clients. The proxy must remove them first.
package forwarded

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"userinfo/internal/certchain"
)

// The headers with certificates, in canonical form.
const (
	CertField  = "Client-Cert"             // RFC 9440, section 2.2
	ChainField = "Client-Cert-Chain"       // RFC 9440, section 2.3
	XFCCField  = "X-Forwarded-Client-Cert" // Envoy, "HTTP header manipulation"
)

// Reasons for rejecting a request. No error contains the value of a header.
var (
	// ErrUntrustedPeer means that the sender is not a trusted proxy. The response is 400 Bad Request.
	ErrUntrustedPeer = errors.New("only a trusted proxy may forward a client's identity")
	// ErrMalformed means that a header cannot be parsed, or can be read in two ways. The response is 400 Bad Request.
	ErrMalformed = errors.New("malformed client identity from the proxy")
	// ErrUnverified means that the certificate is not from a client CA, not for client authentication or not valid now. The
	// response is 401 Unauthorized.
	ErrUnverified = errors.New("the client certificate from the proxy cannot be verified")
)

// Peer is the kind of sender of a request, as access.Policy.IsProxy decides it. The zero Peer is not trusted.
type Peer int

// The kinds of senders.
const (
	UntrustedPeer Peer = iota
	TrustedProxy       // its own verified TLS certificate belongs to a configured proxy; it may send all headers except XFCCField
	XFCCProxy          // the same, but it may send only XFCCField
)

// Rules verify what trusted proxies forward. They are safe for concurrent use. The zero Rules accept no certificate and no
// distinguished name.
type Rules struct {
	clients *certchain.Verifier
	dnField string
	cache   certchain.Cache // by the exact bytes of the headers, so that a certificate is not parsed again
}

// NewRules returns rules that verify certificates with clients, the Verifier of the client CAs. Nil means that no
// certificate is accepted. If a CA changes, make new Rules.
//
// dnField is the name of the header with the distinguished name, such as X-Client-Dn. It begins with X- and contains only
// letters, digits and hyphens, so that it is not a standard header. It must not be X-Forwarded-Client-Cert. If it is empty,
// there is no such header. A distinguished name is weaker than a certificate, because only the proxy has verified it.
func NewRules(clients *certchain.Verifier, dnField string) (*Rules, error) {
	name := http.CanonicalHeaderKey(dnField)
	rest, ok := strings.CutPrefix(name, "X-")
	if dnField != "" && (!ok || rest == "" || name == XFCCField || strings.Trim(strings.ToLower(rest), "abcdefghijklmnopqrstuvwxyz0123456789-") != "") {
		return nil, errors.New("not allowed; write the name of a header such as X-Client-Dn, which begins with X- and contains only letters, digits and hyphens")
	}
	return &Rules{clients: clients, dnField: name}, nil
}

// Client is the client that a proxy forwards a request for. At most one field is set. If neither is set, the client is
// unknown. The proxy itself is never the client.
type Client struct {
	// Chains are the verified chains of the client's certificate, leaf first, as in tls.ConnectionState.VerifiedChains. The
	// caller must not change them.
	Chains [][]*x509.Certificate
	// CommonName is the common name in the distinguished name.
	CommonName string
}

// Client returns the client that the headers h name. from is the sender of the request.
//
// It fails closed. It returns
//
//   - ErrUntrustedPeer for any of the headers, even an empty one, from a sender that is not a trusted proxy;
//   - ErrMalformed for a header that this proxy may not send, for a header that cannot be parsed or is sent twice, for a
//     certificate together with a distinguished name, and for a header name that differs from one of the headers only in
//     another character for a hyphen (Client_Cert);
//   - ErrUnverified for a certificate that no client CA has signed for client authentication, or that is not valid at now.
func (r *Rules) Client(h http.Header, from Peer, now time.Time) (Client, error) {
	if err := r.checkLookalikes(h); err != nil {
		return Client{}, err
	}
	cert, chain, xfcc, dn := h[CertField], h[ChainField], h[XFCCField], []string(nil)
	if r.dnField != "" {
		dn = h[r.dnField]
	}
	switch {
	case cert == nil && chain == nil && xfcc == nil && dn == nil:
		return Client{}, nil
	case from == XFCCProxy && (cert != nil || chain != nil || dn != nil):
		return Client{}, fmt.Errorf("%w: this proxy is configured with header: xfcc, so it may send only %s; it must remove the other headers", ErrMalformed, XFCCField)
	case from == XFCCProxy:
		chains, err := r.verifyXFCC(xfcc, now)
		return Client{Chains: chains}, err
	case from != TrustedProxy:
		return Client{}, ErrUntrustedPeer
	case xfcc != nil:
		return Client{}, fmt.Errorf("%w: %s from a proxy that is not configured with header: xfcc", ErrMalformed, XFCCField)
	case cert == nil && chain != nil:
		return Client{}, fmt.Errorf("%w: %s without %s", ErrMalformed, ChainField, CertField)
	case cert != nil && dn != nil:
		return Client{}, fmt.Errorf("%w: both %s and %s; the proxy must send one of them and remove the other", ErrMalformed, CertField, r.dnField)
	case dn != nil:
		name, err := commonName(dn)
		return Client{CommonName: name}, err
	}
	chains, err := r.verifyClientCert(cert, chain, now)
	return Client{Chains: chains}, err
}

// checkLookalikes rejects a header name that a CGI-like program would treat as one of the headers.
func (r *Rules) checkLookalikes(h http.Header) error {
	for name := range h {
		if len(name) != len(CertField) && len(name) != len(ChainField) && len(name) != len(XFCCField) && len(name) != len(r.dnField) {
			continue
		}
		plain := http.CanonicalHeaderKey(strings.Map(hyphenate, name))
		if ours := plain == CertField || plain == ChainField || plain == XFCCField || plain == r.dnField && r.dnField != ""; ours && plain != name {
			return fmt.Errorf("%w: a header name looks like %s but has another character for a hyphen", ErrMalformed, plain)
		}
	}
	return nil
}

// hyphenate replaces every character except letters and digits by a hyphen, as some programs do with header names.
func hyphenate(r rune) rune {
	if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
		return r
	}
	return '-'
}
