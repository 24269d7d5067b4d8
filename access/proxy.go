package access

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"userinfo/internal/field"
)

// ProxyHeader is the header in which a trusted proxy forwards the certificates of its clients, as the configuration
// spells it.
type ProxyHeader string

// The headers of trusted proxies.
const (
	ClientCertHeader ProxyHeader = "client-cert" // Client-Cert and Client-Cert-Chain (RFC 9440). The default
	XFCCHeader       ProxyHeader = "xfcc"        // X-Forwarded-Client-Cert of Envoy
)

// Proxy is a trusted proxy, which terminates TLS and forwards the certificates of its clients. CA, CN and SAN name its own
// certificate, as in CertificateName.
type Proxy struct {
	CA  string `yaml:"ca"`
	CN  string `yaml:"cn"`
	SAN string `yaml:"san"`
	// Header is the only header in which the proxy forwards certificates: client-cert (default) or xfcc.
	Header ProxyHeader `yaml:"header"`
}

// proxy is a checked Proxy.
type proxy struct {
	name   certificateName
	header ProxyHeader
}

// compileProxy checks one Proxy. path is its place in the configuration.
func compileProxy(path string, in Proxy, clientCAs []string) (p proxy, err error) {
	p.header = in.Header
	if p.header == "" {
		p.header = ClientCertHeader
	}
	if p.header != ClientCertHeader && p.header != XFCCHeader {
		err = field.Errorf(path+".header", "unknown header; write %s (RFC 9440), or %s for Envoy's X-Forwarded-Client-Cert", ClientCertHeader, XFCCHeader)
	}
	var nameErr error
	p.name, nameErr = compileName(path, CertificateName{CA: in.CA, CN: in.CN, SAN: in.SAN}, clientCAs)
	return p, errors.Join(nameErr, err)
}

// checkProxies rejects a certificate name that belongs to both a proxy and a client.
func (p *Policy) checkProxies() error {
	var errs []error
	for i := range p.proxies {
		for _, c := range p.clients {
			for j := range c.certificates {
				proxy, client := &p.proxies[i].name, &c.certificates[j]
				if proxy.String() == client.String() || proxy.overlaps(client) || client.overlaps(proxy) {
					errs = append(errs, field.Errorf(fmt.Sprintf("proxies.certificates[%d]", i), "also belongs to client %q; a proxy cannot be a client", c.name))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// IsProxy decides whether cert belongs to a trusted proxy, which may forward the certificates of its clients, and in which
// header. clientCAs are the names of the CAs that signed cert. If cert has the names of several proxies, the first proxy in
// the configuration counts. It fails closed: it returns false for a nil certificate, for a certificate that is not valid now
// and for a proxy's name in a certificate from another CA.
func (p *Policy) IsProxy(cert *x509.Certificate, clientCAs []string) (header ProxyHeader, ok bool) {
	if len(p.proxies) == 0 || cert == nil || !validAt(cert, p.now()) {
		return "", false
	}
	for i := range p.proxies {
		if _, ok := p.proxies[i].name.find(cert); ok && slices.Contains(clientCAs, p.proxies[i].name.ca) {
			return p.proxies[i].header, true
		}
	}
	return "", false
}
