package tlsconf

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// denied is the list of certificates that are rejected whatever their CA says. See ServerFiles.Denied.
type denied struct {
	fingerprints map[fingerprint]bool
	serials      map[serial]bool
}

// contains reports whether cert is on the list. It fails closed: if the list has serial numbers, a certificate whose
// number no CA may issue counts as listed.
func (d denied) contains(cert *x509.Certificate) bool {
	if len(d.serials) > 0 {
		if number, ok := serialOf(cert); !ok || d.serials[number] {
			return true
		}
	}
	return len(d.fingerprints) > 0 && d.fingerprints[sha256.Sum256(cert.Raw)]
}

// parseDenied parses a deny list, in the format of ServerFiles.Denied. The last line must end with a newline, so that a
// half-written file is an error and not a shorter list.
func parseDenied(text []byte) (d denied, err error) {
	d = denied{fingerprints: make(map[fingerprint]bool), serials: make(map[serial]bool)}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		return denied{}, errors.New("the file is damaged or half-written: the last line does not end with a newline")
	}
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := d.add(line); err != nil {
			return denied{}, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return d, nil
}

// add parses one line without its comment.
func (d denied) add(line string) error {
	kind, value, _ := strings.Cut(line, "=")
	switch strings.ToLower(kind) {
	case "serial":
		n, ok := new(big.Int).SetString(value, 16)
		if number, fits := serialOf(&x509.Certificate{SerialNumber: n}); ok && fits && !strings.ContainsAny(value, "+-_") {
			d.serials[number] = true
			return nil
		}
		return errors.New("a serial number has 1 to 40 hexadecimal digits, as `openssl x509 -noout -serial` prints them")
	case "sha256 fingerprint":
		sum, err := hex.DecodeString(strings.ReplaceAll(value, ":", ""))
		if err == nil && len(sum) == sha256.Size {
			d.fingerprints[fingerprint(sum)] = true
			return nil
		}
		return errors.New("a fingerprint has 32 bytes in hexadecimal, as `openssl x509 -noout -fingerprint -sha256` prints them")
	}
	return errors.New("write serial=… or sha256 Fingerprint=…, as `openssl x509 -noout -serial` or `-fingerprint -sha256` prints it")
}

// addCRLs parses a file of revocation lists and adds each list to the CAs that signed it. A list that is past its
// nextUpdate is an error here, but a list that is already loaded stays in use after its nextUpdate. The returned time is
// the first nextUpdate, or zero if no list has one.
func (t *clientTrust) addCRLs(data []byte, cas []*x509.Certificate, now time.Time) (nextUpdate time.Time, err error) {
	lists, err := parseCRLs(data)
	if err != nil {
		return nextUpdate, err
	}
	for i, list := range lists {
		at := fmt.Sprintf("revocation list %d (%s)", i+1, list.Issuer)
		if now.Before(list.ThisUpdate) {
			return nextUpdate, fmt.Errorf("%s is not valid before %s; correct the clock or wait", at, list.ThisUpdate.UTC().Format(time.RFC3339))
		}
		if !list.NextUpdate.IsZero() && now.After(list.NextUpdate) {
			return nextUpdate, fmt.Errorf("%s is out of date since %s and may miss revoked certificates; download the CA's current list", at, list.NextUpdate.UTC().Format(time.RFC3339))
		}
		if !t.addCRL(list, cas) {
			return nextUpdate, fmt.Errorf("%s is not signed by a client CA; list only the revocation lists of client CAs", at)
		}
		if !list.NextUpdate.IsZero() && (nextUpdate.IsZero() || list.NextUpdate.Before(nextUpdate)) {
			nextUpdate = list.NextUpdate
		}
	}
	return nextUpdate, nil
}

// addCRL adds list to every CA in cas that signed it, and reports whether there is one. It fails closed: a list without a
// valid signature is not used, and addCRLs rejects its file.
func (t *clientTrust) addCRL(list *x509.RevocationList, cas []*x509.Certificate) (signed bool) {
	for _, ca := range cas {
		if list.CheckSignatureFrom(ca) != nil || !bytes.Equal(list.RawIssuer, ca.RawSubject) {
			continue
		}
		signed = true
		numbers := t.revoked[string(ca.Raw)]
		if numbers == nil {
			numbers = make(map[serial]bool)
			t.revoked[string(ca.Raw)] = numbers
		}
		for _, entry := range list.RevokedCertificateEntries {
			// isRevoked rejects numbers that do not fit, so they need no entry.
			if number, ok := serialOf(&x509.Certificate{SerialNumber: entry.SerialNumber}); ok {
				numbers[number] = true
			}
		}
	}
	return signed
}

// oidDeltaCRL is the extension of a list that contains only the changes since another list (RFC 5280, section 5.2.4).
const oidDeltaCRL = "2.5.29.27"

// parseCRLs parses a file of revocation lists: PEM blocks, or a single list in DER. An incomplete file and a delta list
// are errors.
func parseCRLs(data []byte) ([]*x509.RevocationList, error) {
	var all []*x509.RevocationList
	add := func(der []byte) error {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return fmt.Errorf("revocation list %d cannot be parsed, replace it: %w", len(all)+1, err)
		}
		for _, e := range list.Extensions {
			if e.Id.String() == oidDeltaCRL {
				return fmt.Errorf("revocation list %d is a delta CRL, which contains only changes; use the complete list", len(all)+1)
			}
		}
		all = append(all, list)
		return nil
	}
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		err := add(data)
		return all, err
	}
	rest := data
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("PEM block %d is not an X509 CRL; leave only revocation lists in this file", len(all)+1)
		}
		if err := add(block.Bytes); err != nil {
			return nil, err
		}
	}
	if begun := bytes.Count(data, []byte("-----BEGIN")); begun != len(all) {
		return nil, fmt.Errorf("the file is damaged or half-written: %d PEM blocks begin, but only %d can be read", begun, len(all))
	}
	return all, nil
}
