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
func verify(cert, chain []string, roots *x509.CertPool, now time.Time) ([][]*x509.Certificate, error) {
	leaf, err := parseCert(cert)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, CertField, err)
	}
	intermediates := x509.NewCertPool()
	if chain != nil {
		certs, err := parseChain(chain)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, ChainField, err)
		}
		for _, c := range certs {
			intermediates.AddCert(c)
		}
	}
	if roots == nil { // which x509 would take for the system's
		return nil, fmt.Errorf("%w: there is no CA of clients", ErrUnverified)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	return chains, nil
}

// parseCert reads the one value of Client-Cert: a Byte Sequence (RFC 8941, section 3.3.5) of DER.
//
//	Client-Cert: :MIIB…base64…:
func parseCert(values []string) (*x509.Certificate, error) {
	if err := one(values); err != nil {
		return nil, err
	}
	item, err := httpsfv.UnmarshalItem(values)
	if err != nil {
		return nil, fmt.Errorf("not a Byte Sequence, which is :base64: (%w)", err)
	}
	return certificate(item)
}

// parseChain reads the one value of Client-Cert-Chain: a List of Byte Sequences, the client's issuer first.
func parseChain(values []string) ([]*x509.Certificate, error) {
	if err := one(values); err != nil {
		return nil, err
	}
	list, err := httpsfv.UnmarshalList(values)
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
		return nil, errors.New("not a plain Byte Sequence, which is :base64:")
	}
	return x509.ParseCertificate(der)
}
