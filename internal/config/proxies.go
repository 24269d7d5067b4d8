package config

import (
	"errors"
	"slices"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/internal/field"
	"userinfo/tlsconf"
)

// Proxies are the proxies in front of the service that it trusts. All of it can be reloaded.
type Proxies struct {
	// ProxyProtocol lists the networks of proxies that pass TLS through and begin each connection with a PROXY protocol
	// header, version 1 or 2. A header from any other address is a protocol error.
	ProxyProtocol []tlsconf.ProxySource `yaml:"proxy_protocol"`
	// Certificates are the proxies that terminate TLS, by the names in their certificates. The service attributes their requests
	// to the client whose certificate they forward (RFC 9440, or Envoy's X-Forwarded-Client-Cert), never to the proxy.
	Certificates []access.Proxy `yaml:"certificates"`
	// ClientDN is less secure than RFC 9440. Default: off.
	ClientDN ClientDN `yaml:"client_dn"`
}

// ClientDN is for proxies that forward only the distinguished name of a client's certificate. The service cannot verify
// the name, so these proxies can act as any client of the CA.
type ClientDN struct {
	// Field is the name of the header, such as X-Client-Dn. Proxies with the header xfcc may not send it.
	Field string `yaml:"field"`
	// CA is the name of the CA whose certificates the proxies ask for: client_ca (tls.client_ca) or a name in tls.client_cas.
	// Required if Field is set.
	CA string `yaml:"ca"`
}

// validate checks what access.Rules.Policy does not check.
func (p Proxies) validate() error {
	var errs []error
	if _, err := p.sources(); err != nil {
		errs = append(errs, err)
	}
	if _, err := forwarded.NewRules(nil, p.ClientDN.Field); err != nil {
		errs = append(errs, &field.Error{Path: "proxies.client_dn.field", Err: err})
	}
	switch {
	case p.ClientDN.Field == "" && p.ClientDN.CA != "":
		errs = append(errs, field.Errorf("proxies.client_dn.field", "missing: the name of the header, such as X-Client-Dn"))
	case p.ClientDN.Field != "" && len(p.Certificates) == 0:
		errs = append(errs, field.Errorf("proxies.certificates", "missing: proxies.client_dn needs at least one trusted proxy"))
	case p.ClientDN.Field != "" && !slices.ContainsFunc(p.Certificates, func(p access.Proxy) bool { return p.Header != access.XFCCHeader }):
		errs = append(errs, field.Errorf("proxies.client_dn.field", "no proxy may send it: proxies.certificates lists only proxies with header: xfcc; remove client_dn"))
	case p.ClientDN.Field != "" && p.ClientDN.CA == "":
		errs = append(errs, field.Errorf("proxies.client_dn.ca", "missing: the CA whose certificates the proxies ask for, client_ca or a name in tls.client_cas"))
	}
	return errors.Join(errs...)
}

// sources returns the networks of ProxyProtocol. Each error is a *field.Error.
func (p Proxies) sources() (*tlsconf.Proxies, error) {
	sources, err := tlsconf.NewProxies(p.ProxyProtocol)
	if err == nil {
		return sources, nil
	}
	if e, ok := errors.AsType[*tlsconf.FieldError](err); ok {
		return nil, &field.Error{Path: "proxies.proxy_protocol" + e.Field, Err: e.Err}
	}
	return nil, &field.Error{Path: "proxies.proxy_protocol", Err: err}
}
