package access_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"userinfo/access"
)

func TestPolicy_IsProxy(t *testing.T) {
	p := proxyPolicy(t, "")
	for _, test := range []struct {
		name string
		cert *x509.Certificate
		cas  []string
		want access.ProxyHeader
	}{
		{"proxy", cert("edge"), []string{"a"}, "client-cert"},
		{"proxy that sends XFCC", cert("envoy"), []string{"a"}, "xfcc"},
		{"proxy that sends XFCC, of another CA", cert("envoy"), []string{"b"}, ""},
		{"no certificate", nil, []string{"a"}, ""},
		{"no CA", cert("edge"), nil, ""},
		{"another CA", cert("edge"), []string{"b"}, ""},
		{"another name", cert("wiki"), []string{"a"}, ""},
		{"no name", cert(""), []string{"a"}, ""},
		{"expired", cert("edge", func(c *x509.Certificate) { c.NotAfter = today.Add(-time.Nanosecond) }), []string{"a"}, ""},
		{"not valid yet", cert("edge", func(c *x509.Certificate) { c.NotBefore = today.Add(time.Nanosecond) }), []string{"a"}, ""},
	} {
		if got, ok := p.IsProxy(test.cert, test.cas); got != test.want || ok != (test.want != "") {
			t.Errorf("%s: %q, %v; want %q", test.name, got, ok, test.want)
		}
	}
	if header, ok := new(access.Policy).IsProxy(cert("edge"), []string{"a"}); ok || header != "" {
		t.Error("the zero Policy has a proxy")
	}
}

func TestNewPolicy_RejectsProxyThatIsClient(t *testing.T) {
	for name, proxy := range map[string]access.Proxy{
		"same name": {CN: "wiki"}, "proxy with a star": {CN: "wi*"}, "client with a star": {CN: "tool-edge"},
	} {
		all := append(clients(), access.Client{Name: "tool", Certificates: []access.CertificateName{{CN: "tool-*"}}, Grants: []access.Grant{"metrics:get"}})
		_, err := access.NewPolicy(access.PolicyConfig{Clients: all, Audiences: access.Audiences{"sessions": {{Token: yes}}}, Collections: []string{"sessions"},
			ClientCAs: theCA, CNVerifiers: theCA, Proxies: []access.Proxy{proxy}, Now: now})
		if got := mistakes(err); len(got) != 1 || !strings.Contains(got["proxies.certificates[0]"], "a proxy cannot be a client") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewPolicy_RejectsUnknownProxyHeader(t *testing.T) {
	_, err := access.NewPolicy(access.PolicyConfig{Clients: clients(), Audiences: access.Audiences{"sessions": {{Token: yes}}}, Collections: []string{"sessions"},
		ClientCAs: theCA, CNVerifiers: theCA, Proxies: []access.Proxy{{CN: "edge", Header: "XFCC"}}, Now: now})
	if got := mistakes(err); len(got) != 1 || !strings.Contains(got["proxies.certificates[0].header"], "write client-cert (RFC 9440), or xfcc") {
		t.Errorf("%v", err)
	}
}
