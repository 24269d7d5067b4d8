package api

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
	"userinfo/tlsconf"
)

// credentials returns the credentials of the request:
//
//	certificate  of the TLS connection, checked again now; if the connection is a trusted proxy's, of the client that
//	             the proxy names in a header
//	signature    verified, except for the body: see checkBody
//	token        as it was sent; access compares it with the configured ones
//	address      of the peer, or from a trusted PROXY protocol header
//
// It fails closed: a certificate, header or signature that does not verify is an error, even if the request has another,
// valid credential.
func (rs *requestState) credentials() (access.Credentials, error) {
	c := access.Credentials{Authorization: rs.r.Header["Authorization"], Remote: remoteAddr(rs.r)}
	if err := rs.addCertificate(&c); err != nil {
		return access.Credentials{}, err
	}
	if !signature.HasSignature(rs.r.Header) {
		return c, nil
	}
	err := rs.checkAuthority() // again, because health resources are served without it
	if err != nil {
		return access.Credentials{}, err
	}
	if rs.signed, err = rs.api.config.Signatures.Verify(signatureRequest(rs.r), rs.rules.signatureKey); err != nil {
		return access.Credentials{}, signatureError(err)
	}
	c.SignatureKey = rs.signed.KeyID()
	return c, nil
}

// addCertificate adds the client's certificate to c, if there is one. It fails closed.
func (rs *requestState) addCertificate(c *access.Credentials) (err error) {
	peer := forwarded.UntrustedPeer
	if chains := verifiedChains(rs.r); chains != nil {
		c.Certificate = chains[0][0]
		if c.ClientCAs, err = rs.rules.ClientCAs(chains); err != nil {
			return fmt.Errorf("%w: %w", access.ErrUnauthenticated, err)
		}
		if header, ok := rs.rules.Policy.IsProxy(c.Certificate, c.ClientCAs); ok {
			peer, rs.trustedProxy = proxyPeers[header], true
			c.Certificate, c.ClientCAs = nil, nil // they are the proxy's, not the client's
		}
	}
	client, err := rs.rules.Forwarded.Client(rs.r.Header, peer, rs.start)
	switch {
	case errors.Is(err, forwarded.ErrUnverified):
		return fmt.Errorf("%w: %w", access.ErrUnauthenticated, err)
	case err != nil && peer == forwarded.XFCCProxy:
		return fmt.Errorf("%w: %w: %w", access.ErrMalformed, errForwardedXFCC, err)
	case err != nil:
		return fmt.Errorf("%w: %w: %w", access.ErrMalformed, errForwarded, err)
	case client.Chains != nil:
		c.Certificate = client.Chains[0][0]
		if c.ClientCAs, err = rs.rules.ClientCAs(client.Chains); err != nil {
			return fmt.Errorf("%w: %w", access.ErrUnauthenticated, err)
		}
	}
	c.CommonName = client.CommonName
	return nil
}

// proxyPeers are the kinds of trusted proxies. An unknown header gives the zero Peer, which is not trusted.
var proxyPeers = map[access.ProxyHeader]forwarded.Peer{
	access.ClientCertHeader: forwarded.TrustedProxy,
	access.XFCCHeader:       forwarded.XFCCProxy,
}

// verifiedChains returns the certificate chains that tlsconf or crypto/tls verified in the handshake. It fails closed: if
// neither verified the client's certificate, there are none.
func verifiedChains(r *http.Request) [][]*x509.Certificate {
	if r.TLS == nil {
		return nil
	}
	chains := r.TLS.VerifiedChains
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok && chains == nil {
		chains = tlsconf.VerifiedChains(c)
	}
	if len(chains) == 0 || len(chains[0]) == 0 {
		return nil
	}
	return chains
}

func signatureRequest(r *http.Request) signature.Request {
	return signature.Request{
		Method:    r.Method,
		Authority: r.Host,
		Path:      sentPath(r),
		Query:     r.URL.RawQuery,
		HasQuery:  r.URL.RawQuery != "" || r.URL.ForceQuery,
		Header:    r.Header,
		HasBody:   r.ContentLength != 0,
	}
}

// signatureError returns the refusal for an error of package signature. It fails closed: an unknown error means that the
// request is not authenticated.
func signatureError(err error) error {
	switch {
	case errors.Is(err, signature.ErrMalformed):
		return fmt.Errorf("%w: %w", access.ErrMalformed, malformedSignature(err))
	case errors.Is(err, signature.ErrNoncesFull):
		return fmt.Errorf("%w: %w", errTooManySigned, err)
	}
	return fmt.Errorf("%w: %w", access.ErrUnauthenticated, err)
}

// checkBody compares the body of a signed request with the digest that was signed. A request without a signature passes.
// It fails closed.
func (rs *requestState) checkBody(body []byte) error {
	if rs.signed.KeyID() == "" {
		return nil
	}
	if err := rs.signed.CheckBody(body); err != nil {
		return signatureError(err)
	}
	return nil
}

// peerAddr returns the address of the connection's peer, ignoring the PROXY protocol. If the address is unknown, it returns
// the zero Addr.
func (rs *requestState) peerAddr() netip.Addr {
	if rs.conn == nil {
		return remoteAddr(rs.r)
	}
	if tcp, ok := tlsconf.PeerAddr(rs.conn).(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
