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

// CertificateName is one way to know a client's certificate. Exactly one of CN and SAN is set.
type CertificateName struct {
	// CA is the name of the one of tls.client_cas whose certificates count. Left out, it is tls.client_ca, or else the only
	// one there is.
	CA string `yaml:"ca"`
	// CN is the subject's common name.
	CN string `yaml:"cn"`
	// SAN is a DNS name, a URI or an IP address among the subject's alternative names.
	SAN string `yaml:"san"`
}

// A common name, a DNS name and a URI can have stars. Each stands for one or more letters, digits, - and _, and in common
// names and URIs dots; key patterns know what it stood for as {1}, {2} and so on.
const (
	starClass    = `[A-Za-z0-9_.-]+`
	starDNSClass = `[A-Za-z0-9_-]+`
)

// maxStars keeps {1} to {9} one digit.
const maxStars = 9

// certificateName is a CertificateName that has been checked.
type certificateName struct {
	authority string
	cn        bool // or else an alternative name
	text      string
	stars     int
	shortest  *regexp.Regexp // each star stands for as little as it can, or, in longest, as much; nil without stars
	longest   *regexp.Regexp
}

// names are what key patterns can speak of: parts of the certificate that identified the client.
type names struct {
	common string
	stars  *[]string // what the stars of the certificate's name stood for; nil where it has none
}

// compileName checks one CertificateName. path is its place in the configuration.
func compileName(path string, in CertificateName, authorities []string) (n certificateName, err error) {
	if (in.CN == "") == (in.SAN == "") {
		return n, field.Errorf(path, "give exactly one of cn and san")
	}
	var errs []error
	n = certificateName{authority: in.CA, cn: in.CN != "", text: in.CN + in.SAN}
	n.stars = strings.Count(n.text, "*")
	switch {
	case in.CA == "" && slices.Contains(authorities, DefaultClientCA):
		n.authority = DefaultClientCA
	case in.CA == "" && len(authorities) == 1:
		n.authority = authorities[0]
	case in.CA == "" && len(authorities) == 0:
		errs = append(errs, field.Errorf(path, "without tls.client_ca or tls.client_cas no certificate is asked for"))
	case in.CA == "":
		errs = append(errs, field.Errorf(path, "there are several CAs: say with ca: whose certificates count, one of %s", strings.Join(authorities, ", ")))
	case !slices.Contains(authorities, in.CA):
		errs = append(errs, field.Errorf(path+".ca", "there is no such CA; tls.client_cas has %s", orNone(authorities)))
	}
	if n.stars > 0 {
		if err := n.compileStars(); err != nil {
			errs = append(errs, &field.Error{Path: path + "." + n.kind(), Err: err})
		}
	}
	return n, errors.Join(errs...)
}

// orNone lists what there is.
func orNone(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

func (n *certificateName) kind() string {
	if n.cn {
		return "cn"
	}
	return "san"
}

func (n *certificateName) compileStars() error {
	class := starClass
	if !n.cn && !strings.Contains(n.text, "://") {
		class = starDNSClass
	}
	literals := strings.Split(n.text, "*")
	switch {
	case n.stars > maxStars:
		return fmt.Errorf("has %d stars; %d are enough", n.stars, maxStars)
	case strings.Contains(n.text, "**"):
		return errors.New("two stars side by side say no more than one")
	case strings.Join(literals, "") == "":
		return errors.New("a star alone would be every certificate of the CA; say what its names begin or end with")
	}
	for i, l := range literals {
		literals[i] = regexp.QuoteMeta(l)
	}
	fold := ""
	if class == starDNSClass { // DNS names are the same in any case
		fold = "(?i)"
	}
	n.shortest = regexp.MustCompile(fold + "^" + strings.Join(literals, "("+class+"?)") + "$")
	n.longest = regexp.MustCompile(fold + "^" + strings.Join(literals, "("+class+")") + "$")
	return nil
}

// in tells whether cert has the name, and what its stars stand for. It fails closed: an empty name, and one whose stars
// could stand for this or for that, are nobody's.
func (n *certificateName) in(cert *x509.Certificate) (stars *[]string, ok bool) {
	switch {
	case n.text == "":
		return nil, false
	case n.cn:
		return n.is(cert.Subject.CommonName)
	case n.stars == 0:
		return nil, hasSAN(cert, n.text)
	case strings.Contains(n.text, "://"):
		for _, uri := range cert.URIs {
			if stars, ok = n.is(uri.String()); ok {
				return stars, true
			}
		}
		return nil, false
	}
	for _, name := range cert.DNSNames {
		if stars, ok = n.is(strings.ToLower(name)); ok {
			return stars, true
		}
	}
	return nil, false
}

// is tells whether name is n's text, whose stars may stand for something.
func (n *certificateName) is(name string) (stars *[]string, ok bool) {
	if n.stars == 0 {
		return nil, name == n.text
	}
	first := n.shortest.FindStringSubmatch(name)
	if first == nil || !slices.Equal(first, n.longest.FindStringSubmatch(name)) {
		return nil, false
	}
	first = first[1:]
	return &first, true
}

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

// overlaps tells whether a certificate's one name could be both n and other, as far as one of them has no stars.
func (n *certificateName) overlaps(other *certificateName) bool {
	if n.authority != other.authority || n.cn != other.cn || n.stars == 0 || other.stars > 0 {
		return false
	}
	_, ok := n.is(other.text)
	return ok
}

// String is the name as check-config shows it.
func (n *certificateName) String() string { return n.authority + " " + n.kind() + "=" + n.text }
