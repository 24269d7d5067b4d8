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

// denied are certificates that are not believed, whatever their CA says.
type denied struct {
	fingerprints map[fingerprint]bool
	serials      map[serial]bool
}

// has fails closed: a serial number that no CA may give is denied where there is a list of them.
func (d denied) has(cert *x509.Certificate) bool {
	if len(d.serials) > 0 {
		if number, ok := serialOf(cert); !ok || d.serials[number] {
			return true
		}
	}
	return len(d.fingerprints) > 0 && d.fingerprints[sha256.Sum256(cert.Raw)]
}

// parseDenied reads a deny list: what `openssl x509 -noout -serial` or `-fingerprint -sha256` prints, a line for each
// certificate. A serial number is of whichever client CA. Empty lines, and what follows a # are skipped.
//
//	serial=4F1A…                            hexadecimal
//	sha256 Fingerprint=AB:CD:…              32 bytes in hexadecimal
//
// The last line has an end, so that a file caught half-written does not pass for a shorter one; replace it with mv.
func parseDenied(text []byte) (d denied, err error) {
	d = denied{fingerprints: make(map[fingerprint]bool), serials: make(map[serial]bool)}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		return denied{}, errors.New("the last line has no end: the file is damaged or half-written")
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

// oidDeltaCRL is that of an extension of lists that are changes of others (RFC 5280, section 5.2.4).
const oidDeltaCRL = "2.5.29.27"

// addCRLs reads a file of revocation lists, PEM or one in DER. Each counts for certificates of those CAs in cas whose
// signature it has. One that is past its nextUpdate is refused; one that passes it while in force goes on counting. The
// time is the first nextUpdate; zero where there is none.
func (t *clientTrust) addCRLs(data []byte, cas []*x509.Certificate, now time.Time) (until time.Time, err error) {
	lists, err := parseCRLs(data)
	if err != nil {
		return until, err
	}
	for i, list := range lists {
		at := fmt.Sprintf("revocation list %d (%s)", i+1, list.Issuer)
		if now.Before(list.ThisUpdate) {
			return until, fmt.Errorf("%s is not valid before %s: set the clock right or wait", at, list.ThisUpdate.UTC().Format(time.RFC3339))
		}
		if !list.NextUpdate.IsZero() && now.After(list.NextUpdate) {
			return until, fmt.Errorf("%s was to be replaced by %s, so it may lack somebody: get the CA's next one", at, list.NextUpdate.UTC().Format(time.RFC3339))
		}
		if !t.addCRL(list, cas) {
			return until, fmt.Errorf("%s is signed by none of the client CAs: name lists of theirs alone", at)
		}
		if !list.NextUpdate.IsZero() && (until.IsZero() || list.NextUpdate.Before(until)) {
			until = list.NextUpdate
		}
	}
	return until, nil
}

// addCRL tells whether list is of any of cas.
func (t *clientTrust) addCRL(list *x509.RevocationList, cas []*x509.Certificate) (known bool) {
	for _, ca := range cas {
		if list.CheckSignatureFrom(ca) != nil || !bytes.Equal(list.RawIssuer, ca.RawSubject) {
			continue
		}
		known = true
		numbers := t.revoked[string(ca.Raw)]
		if numbers == nil {
			numbers = make(map[serial]bool)
			t.revoked[string(ca.Raw)] = numbers
		}
		for _, entry := range list.RevokedCertificateEntries {
			if number, ok := serialOf(&x509.Certificate{SerialNumber: entry.SerialNumber}); ok { // others are never believed
				numbers[number] = true
			}
		}
	}
	return known
}

func parseCRLs(data []byte) ([]*x509.RevocationList, error) {
	var all []*x509.RevocationList
	add := func(der []byte) error {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return fmt.Errorf("revocation list %d cannot be parsed, replace it: %w", len(all)+1, err)
		}
		for _, e := range list.Extensions {
			if e.Id.String() == oidDeltaCRL {
				return fmt.Errorf("revocation list %d has only changes of another (a delta CRL): name the whole list", len(all)+1)
			}
		}
		all = append(all, list)
		return nil
	}
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		return all, add(data)
	}
	rest := data
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("PEM block %d is not an X509 CRL: leave only revocation lists in this file", len(all)+1)
		}
		if err := add(block.Bytes); err != nil {
			return nil, err
		}
	}
	if begun := bytes.Count(data, []byte("-----BEGIN")); begun != len(all) {
		return nil, fmt.Errorf("%d PEM blocks begin but %d can be read: the file is damaged or half-written", begun, len(all))
	}
	return all, nil
}
