package forwarded

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// maxXFCCBytes is the length of the longest X-Forwarded-Client-Cert. The client's certificate is in it twice: in Cert and in
// Chain.
const maxXFCCBytes = 32 << 10

// xfcc contains the fields of an X-Forwarded-Client-Cert that the service uses, without quotes. A missing field is empty.
type xfcc struct {
	cert, chain string // URL-encoded PEM
	hash        string // SHA-256 of the client's certificate, in hexadecimal
}

// verifyXFCC verifies the certificate in X-Forwarded-Client-Cert. It fails closed: without client CAs, and for anything but exactly
// one element with a certificate, it returns an error.
func (r *Rules) verifyXFCC(values []string, now time.Time) ([][]*x509.Certificate, error) {
	if err := checkSingle(values, maxXFCCBytes); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, XFCCField, err)
	}
	return r.verify(newKey(XFCCField, values), now, func() (*x509.Certificate, []*x509.Certificate, error) {
		leaf, chain, err := parseXFCC(values[0])
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %s: %w", ErrMalformed, XFCCField, err)
		}
		return leaf, chain, nil
	})
}

// parseXFCC returns the client's certificate in the value of X-Forwarded-Client-Cert, and the certificates that follow it in
// Chain.
// Envoy writes the fields in this order:
//
//	By=URI;Hash=468e…;Cert="-----BEGIN%20CERTIFICATE-----%0A…";Chain="…";Subject="CN=…";URI=…;DNS=…
//
// The client chooses the text in Subject, URI and DNS, and Envoy does not escape it. So a client could add a field Cert or
// Chain with somebody else's certificate. Therefore each of Cert, Chain and Hash may occur only once, and they must agree.
// Envoy always writes the Hash of the client's real certificate, which does not agree with an added one.
//
// It fails closed: no certificate is an error, and so is no Hash.
func parseXFCC(value string) (leaf *x509.Certificate, chain []*x509.Certificate, err error) {
	fields, err := splitXFCC(value)
	if err != nil {
		return nil, nil, err
	}
	certs, err := parsePEM(fields.cert)
	if err != nil {
		return nil, nil, fmt.Errorf("field Cert: %w", err)
	}
	all, err := parsePEM(fields.chain)
	if err != nil {
		return nil, nil, fmt.Errorf("field Chain: %w", err)
	}
	switch {
	case len(certs) == 0 && len(all) == 0:
		return nil, nil, errors.New("has no certificate, only a description; configure Envoy with set_current_client_cert_details: {cert: true, chain: true}")
	case len(certs) > 1:
		return nil, nil, errors.New("has several certificates in Cert")
	case len(certs) == 0:
		certs = all[:1] // Chain begins with the client's certificate
	case len(all) > 0 && !all[0].Equal(certs[0]):
		return nil, nil, errors.New("has a Chain that does not begin with Cert")
	}
	leaf = certs[0]
	if fields.hash == "" {
		return nil, nil, errors.New("has no Hash, which Envoy always writes")
	}
	if sum := sha256.Sum256(leaf.Raw); !strings.EqualFold(fields.hash, hex.EncodeToString(sum[:])) {
		return nil, nil, errors.New("has a Hash that is not the SHA-256 of the certificate")
	}
	return leaf, all[min(1, len(all)):], nil
}

// splitXFCC splits the value of X-Forwarded-Client-Cert:
//
//	value  = field *( ";" field )        after a comma, another proxy's element would begin
//	field  = name "=" ( quoted / plain )
//	name   = 1*ALPHA                     upper and lower case are equal
//	plain  = *( any byte except " , ; )
//	quoted = DQUOTE *( any byte except " and \ / "\" any byte ) DQUOTE
//
// It fails closed: several elements are an error, and so is a used field that occurs twice.
func splitXFCC(value string) (fields xfcc, err error) {
	seen := make(map[string]bool)
	for rest, more := value, true; more; {
		var name, text string
		if name, text, rest, err = cutField(rest); err != nil {
			return xfcc{}, err
		}
		used := map[string]*string{"cert": &fields.cert, "chain": &fields.chain, "hash": &fields.hash}[name]
		if used != nil && seen[name] {
			return xfcc{}, fmt.Errorf("has %s twice", name)
		}
		if used != nil && text == "" {
			return xfcc{}, fmt.Errorf("has an empty %s", name)
		}
		if used != nil {
			*used, seen[name] = text, true
		}
		if rest, more = strings.CutPrefix(rest, ";"); !more && rest != "" {
			return xfcc{}, errors.New("has several elements, from several proxies; configure Envoy with forward_client_cert_details: SANITIZE_SET")
		}
	}
	return fields, nil
}

// cutField cuts the first field from an X-Forwarded-Client-Cert, and returns its name in lower case, its value without
// quotes, and the rest, which is empty or begins with a comma or a semicolon.
func cutField(s string) (name, value, rest string, err error) {
	name, s, ok := strings.Cut(s, "=")
	if name = strings.ToLower(name); !ok || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "" {
		return "", "", "", errors.New("not of the form NAME=VALUE;NAME=VALUE")
	}
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, `",;`)
		if end < 0 {
			end = len(s)
		}
		value, rest = s[:end], s[end:]
	} else if value, rest, err = cutQuoted(s[1:]); err != nil {
		return "", "", "", err
	}
	if rest != "" && rest[0] != ',' && rest[0] != ';' {
		return "", "", "", errors.New("has a quote in the middle of a value")
	}
	return name, value, rest, nil
}

// cutQuoted returns the text up to the closing quote, and the rest after the quote. It does not remove backslashes, because no
// field that the service uses has any.
func cutQuoted(s string) (text, rest string, err error) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[:i], s[i+1:], nil
		}
	}
	return "", "", errors.New("has a quote that is not closed")
}

var errNotPEM = errors.New("not certificates in PEM, URL-encoded")

// parsePEM parses URL-encoded certificates in PEM. It returns none for empty text. It fails closed: PEM that Envoy would write
// in another way is an error, and so are more than 1 + maxChain certificates; the rest is not parsed.
func parsePEM(encoded string) (certs []*x509.Certificate, err error) {
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return nil, errors.New("not URL-encoded")
	}
	for rest := []byte(text); len(rest) > 0; {
		block, _ := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			return nil, errNotPEM
		}
		var found bool
		if rest, found = bytes.CutPrefix(rest, pem.EncodeToMemory(block)); !found {
			return nil, errNotPEM
		}
		if len(certs) > maxChain {
			return nil, fmt.Errorf("has more than %d certificates", 1+maxChain)
		}
		cert, err := parseDER(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	return certs, nil
}
