package forwarded

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDNBytes is the longest distinguished name.
const maxDNBytes = 1024

// commonName returns the common name in the distinguished name header. The header must have one value, in one of two forms, with
// exactly one CN.
//
//	CN=x,OU=y,O=z     RFC 4514:   nginx $ssl_client_s_dn, haproxy %[ssl_c_s_dn(,0,rfc2253)]
//	/O=z/OU=y/CN=x    OpenSSL:    nginx $ssl_client_s_dn_legacy, haproxy %[ssl_c_s_dn]
//
//	dn        = rdn *( "," rdn ) / 1*( "/" rdn )
//	rdn       = type "=" value
//	type      = ALPHA *( ALPHA / DIGIT / "-" / "." )
//	value     = 1*( UTF-8 without control characters, the separator and " + , ; < = > \ )    no space at its ends, no # first
//
// Escapes, quoted strings, multi-valued RDNs and #hexadecimal of RFC 4514 are not supported: a name that contains one, in any
// attribute, is rejected. OpenSSL's form has no escapes, so a CN that contains a slash looks like two attributes. Use the form
// of RFC 4514 if clients can choose the names in their certificates.
func commonName(values []string) (string, error) {
	name, err := parseDN(values)
	if err != nil {
		return "", fmt.Errorf("%w: the distinguished name: %w", ErrMalformed, err)
	}
	return name, nil
}

// parseDN implements commonName. It fails closed: no value, several values, no CN and several CNs are errors.
func parseDN(values []string) (string, error) {
	if len(values) != 1 {
		return "", fmt.Errorf("sent %d times; send it once", len(values))
	}
	dn, separator := values[0], ","
	if len(dn) > maxDNBytes {
		return "", fmt.Errorf("longer than %d bytes", maxDNBytes)
	}
	if rest, ok := strings.CutPrefix(dn, "/"); ok {
		dn, separator = rest, "/"
	}
	var name string
	for rdn := range strings.SplitSeq(dn, separator) {
		kind, value, ok := strings.Cut(rdn, "=")
		if !ok || !isAttributeType(kind) || !isPlain(value) {
			return "", errors.New("not of the form CN=x,O=y or /O=y/CN=x, or it contains a character that is not supported")
		}
		if !slices.Contains(commonNames, strings.ToLower(kind)) {
			continue
		}
		if name != "" {
			return "", errors.New("it has several common names")
		}
		name = value
	}
	if name == "" {
		return "", errors.New("it has no common name")
	}
	return name, nil
}

// commonNames are the attribute types of a common name, in lower case.
var commonNames = []string{"cn", "commonname", "2.5.4.3"}

func isAttributeType(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return s != "" && strings.Trim(strings.ToLower(s), letters+"0123456789-.") == ""
}

// isPlain reports whether s needs no escape in either form.
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
