package access

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"userinfo/internal/field"
)

// CertificateName is a name in a certificate. It identifies a client or a proxy. Exactly one of CN and SAN is set.
//
// CN, and a SAN that is a DNS name or a URI, may contain stars. A star matches one or more of: letters, digits, hyphen,
// underscore, and dot (not in a DNS name). Key patterns refer to the matched text as {1}, {2} and so on. If the stars can
// match a name in two ways, the certificate is not accepted for that name.
type CertificateName struct {
	// CA is the name of the CA that must have signed the certificate, from tls.client_cas. The default is tls.client_ca or,
	// without it, the only CA in tls.client_cas.
	CA string `yaml:"ca"`
	// CN is the common name of the certificate's subject.
	CN string `yaml:"cn"`
	// SAN is a subject alternative name: a DNS name, a URI or an IP address.
	SAN string `yaml:"san"`
}

// What a star matches, as regular expressions.
const (
	starClass    = `[A-Za-z0-9_.-]+` // in common names and URIs
	starDNSClass = `[A-Za-z0-9_-]+`  // in DNS names
)

// maxStars is the most stars in a name, so that {1} to {9} have one digit.
const maxStars = 9

// certificateName is a checked CertificateName.
type certificateName struct {
	ca       string
	isCN     bool // otherwise it is a subject alternative name
	givesCN  bool // {cn} has a value for a client with this name
	text     string
	stars    int
	shortest *regexp.Regexp // matches with stars that match as little as possible; nil without stars
	longest  *regexp.Regexp // matches with stars that match as much as possible; nil without stars
}

// names are the parts of a client's certificate that key patterns refer to.
type names struct {
	common string    // the common name
	stars  *[]string // the texts that the stars of the CertificateName matched; nil without stars
}

// compileName checks one CertificateName. path is its place in the configuration.
func compileName(path string, in CertificateName, clientCAs []string) (n certificateName, err error) {
	if (in.CN == "") == (in.SAN == "") {
		return n, field.Errorf(path, "write exactly one of cn and san")
	}
	var errs []error
	n = certificateName{ca: in.CA, isCN: in.CN != "", text: in.CN + in.SAN}
	n.stars = strings.Count(n.text, "*")
	switch {
	case in.CA == "" && slices.Contains(clientCAs, DefaultClientCA):
		n.ca = DefaultClientCA
	case in.CA == "" && len(clientCAs) == 1:
		n.ca = clientCAs[0]
	case in.CA == "" && len(clientCAs) == 0:
		errs = append(errs, field.Errorf(path, "the service asks for no client certificate; set tls.client_ca or tls.client_cas"))
	case in.CA == "":
		errs = append(errs, field.Errorf(path, "there are several CAs; write ca: with one of %s", strings.Join(clientCAs, ", ")))
	case !slices.Contains(clientCAs, in.CA):
		errs = append(errs, field.Errorf(path+".ca", "unknown CA; known are %s", orNone(clientCAs)))
	}
	if n.stars > 0 {
		if err := n.compileStars(); err != nil {
			errs = append(errs, &field.Error{Path: path + "." + n.kind(), Err: err})
		}
	}
	return n, errors.Join(errs...)
}

// kind returns the name's field in the configuration.
func (n *certificateName) kind() string {
	if n.isCN {
		return "cn"
	}
	return "san"
}

// isURI reports whether the name is a URI, and not a DNS name or an IP address.
func (n *certificateName) isURI() bool { return !n.isCN && strings.Contains(n.text, "://") }

// compileStars checks the stars and compiles the regular expressions.
func (n *certificateName) compileStars() error {
	literals := strings.Split(n.text, "*")
	switch {
	case n.stars > maxStars:
		return fmt.Errorf("has %d stars; use at most %d", n.stars, maxStars)
	case strings.Contains(n.text, "**"):
		return errors.New("has two stars side by side; write one")
	case strings.Join(literals, "") == "":
		return errors.New("a star alone would match every certificate of the CA; write how the names begin or end")
	}
	for i, l := range literals {
		literals[i] = regexp.QuoteMeta(l)
	}
	class, fold := starClass, ""
	if !n.isCN && !n.isURI() {
		class, fold = starDNSClass, "(?i)" // DNS names ignore case
	}
	n.shortest = regexp.MustCompile(fold + "^" + strings.Join(literals, "("+class+"?)") + "$")
	n.longest = regexp.MustCompile(fold + "^" + strings.Join(literals, "("+class+")") + "$")
	return nil
}

// find decides whether cert contains the name, and returns the texts that its stars matched. It fails closed: an empty name,
// and a name that the stars match in two ways, are in no certificate.
func (n *certificateName) find(cert *x509.Certificate) (stars *[]string, ok bool) {
	switch {
	case n.text == "":
		return nil, false
	case n.isCN:
		return n.match(cert.Subject.CommonName)
	case n.stars == 0:
		return nil, hasSAN(cert, n.text)
	case n.isURI():
		for _, uri := range cert.URIs {
			if stars, ok = n.match(uri.String()); ok {
				return stars, true
			}
		}
		return nil, false
	}
	for _, name := range cert.DNSNames {
		if stars, ok = n.match(strings.ToLower(name)); ok {
			return stars, true
		}
	}
	return nil, false
}

// match reports whether text matches the name, and returns the texts that its stars matched.
func (n *certificateName) match(text string) (stars *[]string, ok bool) {
	if n.stars == 0 {
		return nil, text == n.text
	}
	matches := n.shortest.FindStringSubmatch(text)
	if matches == nil || !slices.Equal(matches, n.longest.FindStringSubmatch(text)) {
		return nil, false
	}
	matches = matches[1:]
	return &matches, true
}

// hasSAN reports whether want is a subject alternative name of cert. DNS names ignore case.
func hasSAN(cert *x509.Certificate, want string) bool {
	for _, name := range cert.DNSNames {
		if strings.EqualFold(name, want) {
			return true
		}
	}
	for _, uri := range cert.URIs {
		if uri.String() == want {
			return true
		}
	}
	addr, err := netip.ParseAddr(want)
	if err != nil {
		return false
	}
	for _, ip := range cert.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok && a.Unmap() == addr.Unmap() {
			return true
		}
	}
	return false
}

// overlaps reports whether n has stars that match other, a name without stars of the same kind and CA.
func (n *certificateName) overlaps(other *certificateName) bool {
	if n.ca != other.ca || n.isCN != other.isCN || n.stars == 0 || other.stars > 0 {
		return false
	}
	_, ok := n.match(other.text)
	return ok
}

// String returns the name as check-config prints it: "CA cn=TEXT".
func (n *certificateName) String() string { return n.ca + " " + n.kind() + "=" + n.text }
