package access

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"userinfo/internal/field"
)

// httpsPort is the port of an authority without a port.
const httpsPort = 443

// Authority is the host and port that a request is for: the Host header, or :authority of HTTP/2. The zero Authority is in no
// Authorities.
type Authority struct {
	host string // in lower case, without a trailing dot; an IP address in its canonical form, without brackets
	port uint16 // 0: none was written
	isIP bool
}

// ParseAuthority parses uri-host [":" port] (RFC 9110, section 4.2.2). The host is a DNS name, an IPv4 address or an IPv6 address in
// brackets. It fails closed: it returns an error for an empty text, a user, a space, a slash, a percent sign, and every other
// character that is in no host name. Errors contain nothing of the text.
func ParseAuthority(text string) (Authority, error) {
	host, port, err := splitPort(text)
	if err != nil {
		return Authority{}, err
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" {
			return Authority{}, errors.New("has brackets, but no IPv6 address in them")
		}
		return addrAuthority(addr, port), nil
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
		return addrAuthority(addr, port), nil
	}
	if !isHostName(host) {
		return Authority{}, errors.New("is not a host name or an IP address, with or without a port")
	}
	return Authority{host: host, port: port}, nil
}

// splitPort returns the host of an authority, and its port, or 0 if it has no port.
func splitPort(text string) (host string, port uint16, err error) {
	host, digits := text, ""
	if colon := strings.LastIndexByte(text, ':'); colon >= 0 && colon > strings.LastIndexByte(text, ']') {
		host, digits = text[:colon], text[colon+1:]
	}
	if digits == "" {
		return host, 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, errors.New("has a port that is not a number from 1 to 65535")
	}
	return host, uint16(n), nil
}

func addrAuthority(addr netip.Addr, port uint16) Authority {
	return Authority{host: addr.Unmap().String(), port: port, isIP: true}
}

// maxHostBytes is the maximum length of a DNS name in text form.
const maxHostBytes = 253

// isHostName reports whether host consists of labels of lower case letters, digits, hyphens and underscores.
func isHostName(host string) bool {
	if len(host) > maxHostBytes {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// Authorities are the authorities of the service: the names under which clients reach it. It never changes and is safe for
// concurrent use. The zero Authorities contain nothing.
type Authorities struct {
	// all contains each entry. The host of an entry may begin with "*.", which stands for one label. The port 0 stands for
	// the default port and the port of the listener.
	all   map[Authority]bool
	hosts map[string]bool // of the entries
	texts []string        // as in the configuration or in the certificate
}

// ParseAuthorities parses a list of authorities. path is the place of the list in the configuration. Each entry is what
// ParseAuthority accepts, an IPv6 address without brackets, or a name that begins with "*.", for all hosts of a domain.
func ParseAuthorities(path string, texts []string) (Authorities, error) {
	var all Authorities
	var errs []error
	for i, text := range texts {
		if err := all.add(text); err != nil {
			errs = append(errs, &field.Error{Path: fmt.Sprintf("%s[%d]", path, i), Err: err})
		}
	}
	return all, errors.Join(errs...)
}

// CertificateAuthorities returns the DNS names and IP addresses in cert. It skips names that no host can have.
func CertificateAuthorities(cert *x509.Certificate) Authorities {
	var all Authorities
	for _, name := range cert.DNSNames {
		_ = all.add(name)
	}
	for _, ip := range cert.IPAddresses {
		_ = all.add(ip.String())
	}
	return all
}

// add adds one entry.
func (a *Authorities) add(text string) error {
	name, wildcard := strings.CutPrefix(text, "*.")
	one, err := ParseAuthority(name)
	if addr, addrErr := netip.ParseAddr(text); addrErr == nil && addr.Zone() == "" {
		one, err = addrAuthority(addr, 0), nil
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w; write a name such as userinfo.example, userinfo.example:9443 or *.userinfo.example, or an address", err)
	case wildcard && (one.isIP || !strings.Contains(one.host, ".")):
		return errors.New("matches hosts of more than one domain; name the domain, as in *.example.org")
	case wildcard:
		one.host = "*." + one.host
	}
	if a.all == nil {
		a.all, a.hosts = make(map[Authority]bool), make(map[string]bool)
	}
	a.all[one], a.hosts[one.host] = true, true
	a.texts = append(a.texts, text)
	return nil
}

// Texts returns the entries as they are in the configuration or in the certificate.
func (a Authorities) Texts() []string { return a.texts }

// Check decides whether a request is for this service. sent is the authority of the request, and local the address at which
// the service accepted its connection.
//
// A signed request must be for one of the authorities, with its port. Otherwise, somebody who sees it could use it at another
// service that has the same key. For another request the host is enough, because a proxy in front may listen at another port, and
// the host may also be the local address. This stops DNS rebinding: a web page that was loaded from another host, and whose name
// was then changed to the service's address, sends its own name.
//
// It fails closed: without authorities, and for the zero Authority, it returns ErrMisdirected.
func (a Authorities) Check(sent Authority, local netip.AddrPort, signed bool) error {
	switch {
	case sent.host == "":
		return errNoAuthority
	case signed && !a.contains(sent, local.Port()):
		return errSignedAuthority
	case !signed && !a.containsHost(sent) && !sent.isAddr(local.Addr()):
		return errNoAuthority
	}
	return nil
}

var (
	errNoAuthority     = fmt.Errorf("%w: its host is not one of the service's; use one of these, or add it to authorities in the configuration", ErrMisdirected)
	errSignedAuthority = fmt.Errorf("%w: it is signed for a host or port that is not in authorities in the configuration; use one of these, or add host:port", ErrMisdirected)
)

// contains reports whether an entry matches the host and the port of sent.
func (a Authorities) contains(sent Authority, listenerPort uint16) bool {
	if sent.port == 0 {
		sent.port = httpsPort
	}
	for _, host := range []string{sent.host, sent.wildcard()} {
		entry := Authority{host: host, port: sent.port, isIP: sent.isIP}
		if a.all[entry] {
			return true
		}
		entry.port = 0 // an entry without a port
		if a.all[entry] && (sent.port == httpsPort || sent.port == listenerPort) {
			return true
		}
	}
	return false
}

// containsHost reports whether an entry matches the host of sent.
func (a Authorities) containsHost(sent Authority) bool {
	return a.hosts[sent.host] || a.hosts[sent.wildcard()]
}

// wildcard returns the host with "*" for its first label, or "" if there is no such entry: for an address and for a host with one
// label.
func (sent Authority) wildcard() string {
	_, domain, ok := strings.Cut(sent.host, ".")
	if !ok || sent.isIP {
		return ""
	}
	return "*." + domain
}

// isAddr reports whether the host is this address. No host is the zero Addr.
func (sent Authority) isAddr(addr netip.Addr) bool {
	return sent.isIP && addr.IsValid() && sent.host == addr.Unmap().WithZone("").String()
}
