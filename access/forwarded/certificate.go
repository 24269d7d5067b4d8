package forwarded

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/dunglas/httpsfv"
)

// Bounds on what a listed proxy may send.
const (
	maxFieldBytes = 16 << 10 // of Client-Cert, and of Client-Cert-Chain
	maxChain      = 4        // certificates between the client's and the CA's
)

// verify checks the certificate in Client-Cert by way of those in Client-Cert-Chain, which may be missing. It fails
// closed: no roots, and anything but one certificate, are errors.
func (r *Rules) verify(cert, chain []string, now time.Time) ([][]*x509.Certificate, error) {
	if err := one(cert); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, CertField, err)
	}
	if err := one(chain); err != nil && chain != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, ChainField, err)
	}
	if r.roots == nil { // which x509 would take for the system's
		return nil, fmt.Errorf("%w: there is no CA of clients", ErrUnverified)
	}
	sent := digest(cert, chain)
	if chains := r.verified.recall(sent, now); chains != nil {
		return chains, nil
	}
	leaf, intermediates, err := parse(cert[0], chain)
	if err != nil {
		return nil, err
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: r.roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	r.verified.remember(sent, chains)
	return chains, nil
}

func parse(cert string, chain []string) (leaf *x509.Certificate, intermediates *x509.CertPool, err error) {
	if leaf, err = parseCert(cert); err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrMalformed, CertField, err)
	}
	intermediates = x509.NewCertPool()
	if chain == nil {
		return leaf, intermediates, nil
	}
	certs, err := parseChain(chain[0])
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrMalformed, ChainField, err)
	}
	for _, c := range certs {
		intermediates.AddCert(c)
	}
	return leaf, intermediates, nil
}

// parseCert reads Client-Cert: a Byte Sequence (RFC 8941, section 3.3.5) of DER.
//
//	Client-Cert: :MIIB…base64…:
func parseCert(value string) (*x509.Certificate, error) {
	item, err := httpsfv.UnmarshalItem([]string{value})
	if err != nil {
		return nil, fmt.Errorf("not a Byte Sequence, which is :base64: (%w)", err)
	}
	return certificate(item)
}

// parseChain reads Client-Cert-Chain: a List of Byte Sequences, the client's issuer first.
func parseChain(value string) ([]*x509.Certificate, error) {
	list, err := httpsfv.UnmarshalList([]string{value})
	if err != nil {
		return nil, fmt.Errorf("not a List of Byte Sequences (%w)", err)
	}
	if len(list) == 0 || len(list) > maxChain {
		return nil, fmt.Errorf("%d certificates; there may be 1 to %d", len(list), maxChain)
	}
	certs := make([]*x509.Certificate, len(list))
	for i, member := range list {
		item, ok := member.(httpsfv.Item)
		if !ok {
			return nil, errors.New("an Inner List, where a Byte Sequence should be")
		}
		if certs[i], err = certificate(item); err != nil {
			return nil, err
		}
	}
	return certs, nil
}

// one fails closed: no value and several are errors, and so is one that is too long.
func one(values []string) error {
	switch {
	case len(values) != 1:
		return fmt.Errorf("%d fields of this name; there must be one", len(values))
	case len(values[0]) > maxFieldBytes:
		return fmt.Errorf("more than %d bytes", maxFieldBytes)
	}
	return nil
}

func certificate(item httpsfv.Item) (*x509.Certificate, error) {
	der, ok := item.Value.([]byte)
	if !ok || len(item.Params.Names()) > 0 {
		return nil, errors.New("not a Byte Sequence (:base64:) and nothing else")
	}
	return x509.ParseCertificate(der)
}
