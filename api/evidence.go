package api

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
	"userinfo/tlsconf"
)

// evidence is what the request shows of its origin, as far as that could be verified.
//
//	certificate   of the connection's TLS, judged again now; or, where that is a proxy's, the one that the proxy forwards
//	signature     verified, all but the body: see checkBody
//	token         as it was sent
//	address       the other end's, or what the PROXY protocol has said it was
//
// It fails closed: what was sent and does not hold is an error, though something else should hold.
func (x *exchange) evidence() (access.Credentials, error) {
	e := access.Credentials{Authorization: x.r.Header["Authorization"], Remote: remote(x.r)}
	if err := x.certificate(&e); err != nil {
		return access.Credentials{}, err
	}
	if !signature.HasSignature(x.r.Header) {
		return e, nil
	}
	var err error
	if x.signed, err = x.api.config.Signatures.Verify(signatureRequest(x), x.rules.signatureKey); err != nil {
		return access.Credentials{}, badSignature(err)
	}
	e.SignatureKey = x.signed.KeyID()
	return e, nil
}

// certificate adds the client's certificate to e.
func (x *exchange) certificate(e *access.Credentials) (err error) {
	from := forwarded.UntrustedPeer
	if chains := verified(x.r); chains != nil {
		e.Certificate = chains[0][0]
		if e.ClientCAs, err = x.rules.ClientCAs(chains); err != nil {
			return fmt.Errorf("%w: %w", access.ErrUnauthenticated, err)
		}
		if x.rules.Policy.IsProxy(e.Certificate, e.ClientCAs) {
			from, x.proxied = forwarded.TrustedProxy, true
			e.Certificate, e.ClientCAs = nil, nil // it is not the client's
		}
	}
	client, err := x.rules.Forwarded.Client(x.r.Header, from, x.start)
	switch {
	case errors.Is(err, forwarded.ErrUnverified):
		return fmt.Errorf("%w: %w", access.ErrUnauthenticated, err)
	case err != nil:
		return fmt.Errorf("%w: %w: %w", access.ErrMalformed, errForwarded, err)
	case client.Chains != nil:
		e.Certificate = client.Chains[0][0]
		if e.ClientCAs, err = x.rules.ClientCAs(client.Chains); err != nil {
			return fmt.Errorf("%w: %w", access.ErrUnauthenticated, err)
		}
	}
	e.CommonName = client.CommonName
	return nil
}

func signatureRequest(x *exchange) signature.Request {
	return signature.Request{
		Method:    x.r.Method,
		Authority: x.r.Host,
		Path:      sentPath(x.r),
		Query:     x.r.URL.RawQuery,
		HasQuery:  x.r.URL.RawQuery != "" || x.r.URL.ForceQuery,
		Header:    x.r.Header,
		HasBody:   x.r.ContentLength != 0,
	}
}

// badSignature is the refusal that an error of package signature is.
func badSignature(err error) error {
	switch {
	case errors.Is(err, signature.ErrMalformed):
		return fmt.Errorf("%w: %w", access.ErrMalformed, malformedSignature(err))
	case errors.Is(err, signature.ErrNoncesFull):
		return fmt.Errorf("%w: %w", errManySigned, err)
	}
	return fmt.Errorf("%w: %w", access.ErrUnauthenticated, err)
}

// checkBody tells whether body is what was signed, where the request was signed.
func (x *exchange) checkBody(body []byte) error {
	if x.signed.KeyID() == "" {
		return nil
	}
	if err := x.signed.CheckBody(body); err != nil {
		return badSignature(err)
	}
	return nil
}

// peer is the address at the other end of the connection, whatever the PROXY protocol has said; the zero address where it
// cannot be told.
func (x *exchange) peer() netip.Addr {
	if x.conn == nil {
		return remote(x.r)
	}
	if tcp, ok := tlsconf.PeerAddr(x.conn).(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
