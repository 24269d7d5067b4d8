package forwarded

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const maxDNBytes = 1024

// commonName reads the one value of the DN field, in one of two forms, and gives the value of its only CN.
//
//	CN=x,OU=y,O=z     RFC 4514:   nginx $ssl_client_s_dn, haproxy %[ssl_c_s_dn(,0,rfc2253)]
//	/O=z/OU=y/CN=x    OpenSSL's:  nginx $ssl_client_s_dn_legacy, haproxy %[ssl_c_s_dn]
//
//	dn        = rdn *( "," rdn ) / 1*( "/" rdn )
//	rdn       = type "=" value
//	type      = ALPHA *( ALPHA / DIGIT / "-" / "." )
//	value     = 1*( any of UTF-8 but controls, the separator, and " + , ; < = > \ )    no space at its ends, no # first
//
// Of RFC 4514 this leaves out escapes, quoted and multi-valued RDNs and #hexadecimal: a subject that needs one is
// refused, whichever attribute needs it. OpenSSL's form has no escapes at all, so that a CN with a slash in it cannot
// be told from two attributes: prefer the other where a CA signs names that its clients choose.
func commonName(values []string) (string, error) {
	name, err := parseDN(values)
	if err != nil {
		return "", fmt.Errorf("%w: the distinguished name: %w", ErrMalformed, err)
	}
	return name, nil
}

// parseDN fails closed: no value, several, no CN and several CNs are errors.
func parseDN(values []string) (string, error) {
	if len(values) != 1 {
		return "", fmt.Errorf("%d fields of this name; there must be one", len(values))
	}
	dn, separator := values[0], ","
	if len(dn) > maxDNBytes {
		return "", fmt.Errorf("more than %d bytes", maxDNBytes)
	}
	if rest, ok := strings.CutPrefix(dn, "/"); ok {
		dn, separator = rest, "/"
	}
	var name string
	for rdn := range strings.SplitSeq(dn, separator) {
		kind, value, ok := strings.Cut(rdn, "=")
		if !ok || !isAttributeType(kind) || !isPlain(value) {
			return "", errors.New("not of the form CN=x,O=y or /O=y/CN=x, or with characters that are refused")
		}
		if !slices.Contains(commonNames, strings.ToLower(kind)) {
			continue
		}
		if name != "" {
			return "", errors.New("several common names")
		}
		name = value
	}
	if name == "" {
		return "", errors.New("no common name")
	}
	return name, nil
}

// commonNames are what the type of a common name is called, in small letters.
var commonNames = []string{"cn", "commonname", "2.5.4.3"}

func isAttributeType(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return s != "" && strings.Trim(strings.ToLower(s), letters+"0123456789-.") == ""
}

// isPlain tells whether a value stands for itself in either form.
func isPlain(s string) bool {
	if s == "" || !utf8.ValidString(s) || s[0] == ' ' || s[0] == '#' || s[len(s)-1] == ' ' {
		return false
	}
	for _, b := range []byte(s) {
		if b < ' ' || b == 0x7f || strings.IndexByte(`"+,;<=>\`, b) >= 0 {
			return false
		}
	}
	return true
}
