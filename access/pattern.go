package access

import (
	"errors"
	"strings"
)

// commonNamePlaceholder in a key pattern stands for the common name of the client's certificate.
const commonNamePlaceholder = "{cn}"

// pattern is a key pattern as the configuration has it: literal bytes, * for any run of bytes (none included),
// {cn} for the common name of the certificate that identified the client.
type pattern struct {
	parts []string // the literals between the stars, {cn} unexpanded
}

func parsePattern(s string) (pattern, error) {
	if s == "" {
		return pattern{}, errors.New(`empty; write "*" for every key`)
	}
	rest := strings.ReplaceAll(s, commonNamePlaceholder, "")
	if strings.ContainsAny(rest, "{}") {
		return pattern{}, errors.New(`only {cn} may stand in braces`)
	}
	return pattern{parts: strings.Split(s, "*")}, nil
}

func (p pattern) needsCommonName() bool {
	for _, part := range p.parts {
		if strings.Contains(part, commonNamePlaceholder) {
			return true
		}
	}
	return false
}

// matches tells whether key is of the pattern. It fails closed: a pattern with {cn} matches nothing where there
// is no common name, and a common name stands for itself alone, even if it has a * in it.
func (p pattern) matches(key, commonName string) bool {
	if len(p.parts) == 0 || (commonName == "" && p.needsCommonName()) {
		return false
	}
	first := expand(p.parts[0], commonName)
	if len(p.parts) == 1 {
		return key == first
	}
	if !strings.HasPrefix(key, first) {
		return false
	}
	key = key[len(first):]
	last := expand(p.parts[len(p.parts)-1], commonName)
	for _, part := range p.parts[1 : len(p.parts)-1] {
		literal := expand(part, commonName)
		at := strings.Index(key, literal)
		if at < 0 {
			return false
		}
		key = key[at+len(literal):]
	}
	return strings.HasSuffix(key, last)
}

func expand(part, commonName string) string {
	return strings.ReplaceAll(part, commonNamePlaceholder, commonName)
}
