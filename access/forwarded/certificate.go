package forwarded

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/dunglas/httpsfv"

	"userinfo/internal/certchain"
)

// Limits on the headers of a trusted proxy.
const (
	maxFieldBytes = 16 << 10             // in each of Client-Cert and Client-Cert-Chain
	maxChain      = certchain.MaxIssuers // certificates in Client-Cert-Chain
)

// verifyClientCert verifies the certificate in Client-Cert, with the intermediate certificates in Client-Cert-Chain, if it was
// sent. It fails closed: without client CAs, and for anything but exactly one certificate, it returns an error.
func (r *Rules) verifyClientCert(cert, chain []string, now time.Time) ([][]*x509.Certificate, error) {
	if err := checkSingle(cert, maxFieldBytes); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, CertField, err)
	}
	if err := checkSingle(chain, maxFieldBytes); err != nil && chain != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, ChainField, err)
	}
	return r.verify(newKey(CertField, cert, chain), now, func() (*x509.Certificate, []*x509.Certificate, error) {
		return parse(cert[0], chain)
	})
}

// verify verifies the certificate leaf that parse returns, with chain as intermediate certificates. If the cache has chains
// for key, verify returns them and does not call parse. It fails closed: without client CAs it returns an error.
func (r *Rules) verify(key certchain.Key, now time.Time, parse func() (leaf *x509.Certificate, chain []*x509.Certificate, err error)) ([][]*x509.Certificate, error) {
	if r.clients == nil {
		return nil, fmt.Errorf("%w: no client CA is configured", ErrUnverified)
	}
	if chains := r.cache.Get(key, now); chains != nil {
		return chains, nil
	}
	leaf, chain, err := parse()
	if err != nil {
		return nil, err
	}
	chains, err := r.clients.Verify(append([]*x509.Certificate{leaf}, chain...), now)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrUnverified, rejection(err))
	}
	r.cache.Put(key, chains)
	return chains, nil
}

// newKey returns the cache key of headers, each with at most one value. name is the name of the first header. A zero byte,
// which no header contains, separates the values.
func newKey(name string, headers ...[]string) certchain.Key {
	text := name
	for _, values := range headers {
		if values != nil {
			text += "\x00" + values[0]
		}
	}
	return sha256.Sum256([]byte(text))
}

// parse parses the values of Client-Cert and Client-Cert-Chain. chain is nil if Client-Cert-Chain was not sent.
func parse(cert string, chain []string) (leaf *x509.Certificate, issuers []*x509.Certificate, err error) {
	if leaf, err = parseCert(cert); err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrMalformed, CertField, err)
	}
	if chain == nil {
		return leaf, nil, nil
	}
	if issuers, err = parseChain(chain[0]); err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrMalformed, ChainField, err)
	}
	return leaf, issuers, nil
}

// parseCert parses Client-Cert: a Byte Sequence (RFC 8941, section 3.3.5) that contains DER.
//
//	Client-Cert: :MIIB…base64…:
func parseCert(value string) (*x509.Certificate, error) {
	item, err := httpsfv.UnmarshalItem([]string{value})
	if err != nil {
		return nil, fmt.Errorf("not a Byte Sequence, which is :base64: (%w)", err)
	}
	return certificate(item)
}

// parseChain parses Client-Cert-Chain: a List of Byte Sequences, beginning with the issuer of the client's certificate.
func parseChain(value string) ([]*x509.Certificate, error) {
	list, err := httpsfv.UnmarshalList([]string{value})
	if err != nil {
		return nil, fmt.Errorf("not a List of Byte Sequences (%w)", err)
	}
	if len(list) == 0 || len(list) > maxChain {
		return nil, fmt.Errorf("%d certificates; send 1 to %d", len(list), maxChain)
	}
	certs := make([]*x509.Certificate, len(list))
	for i, member := range list {
		item, ok := member.(httpsfv.Item)
		if !ok {
			return nil, errors.New("contains an Inner List; send Byte Sequences")
		}
		if certs[i], err = certificate(item); err != nil {
			return nil, err
		}
	}
	return certs, nil
}

// checkSingle checks that a header was sent once and is not longer than longest bytes. It fails closed: no value is an error.
func checkSingle(values []string, longest int) error {
	switch {
	case len(values) != 1:
		return fmt.Errorf("sent %d times; send it once", len(values))
	case len(values[0]) > longest:
		return fmt.Errorf("longer than %d bytes", longest)
	}
	return nil
}

// certificate parses the certificate in a Byte Sequence without parameters.
func certificate(item httpsfv.Item) (*x509.Certificate, error) {
	der, ok := item.Value.([]byte)
	if !ok || len(item.Params.Names()) > 0 {
		return nil, errors.New("not a Byte Sequence (:base64:) without parameters")
	}
	return parseDER(der)
}

// parseDER parses a certificate. The errors of crypto/x509 quote names in the certificate, which anybody may choose, and errors
// are logged. So parseDER does not return them.
func parseDER(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("not a valid X.509 certificate")
	}
	return c, nil
}

// rejection says why crypto/x509 has rejected a certificate, without names from the certificate.
func rejection(err error) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, certchain.ErrUnknownCA), errors.As(err, &unknown):
		return "no client CA has issued it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired or is not valid yet"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "it is not for client authentication"
	}
	return "it is not valid"
}
