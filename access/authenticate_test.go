package access_test

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"userinfo/access"
)

func TestPolicy_AuthenticateEveryPairOfCredentials(t *testing.T) {
	certificates := map[string]*x509.Certificate{
		"none":      nil,
		"of wiki":   cert("wiki"),
		"unknown":   cert("somebody", dns("somebody.example"), uri("spiffe://example/somebody"), ip("10.9.9.10")),
		"nameless":  cert(""),
		"expired":   cert("wiki", func(c *x509.Certificate) { c.NotAfter = today.Add(-time.Nanosecond) }),
		"early":     cert("wiki", func(c *x509.Certificate) { c.NotBefore = today.Add(time.Nanosecond) }),
		"ambiguous": cert("ops", dns("wiki.example")),
	}
	tokens := map[string][]string{
		"none":      nil,
		"of wiki":   bearer(wikiNewToken),
		"of ops":    bearer(opsToken),
		"unknown":   bearer(unknownToken),
		"outside":   bearer(wikiToken),
		"malformed": {"Basic d2lraTpwYXNzd29yZA=="},
	}
	order := []string{"none", "of wiki", "of ops", "unknown", "outside", "malformed"}
	const n, u, m = "no client", "unauthenticated", "malformed"
	matrix := []struct {
		certificate string
		outcomes    [6]string // by token, in the order above
	}{
		{"none", [6]string{n, "wiki", "ops", u, u, m}},
		{"of wiki", [6]string{"wiki", "wiki", "conflict", u, u, m}},
		{"unknown", [6]string{n, "wiki", "ops", u, u, m}},
		{"nameless", [6]string{n, "wiki", "ops", u, u, m}},
		{"expired", [6]string{u, u, u, u, u, m}},
		{"early", [6]string{u, u, u, u, u, m}},
		{"ambiguous", [6]string{u, u, u, u, u, m}},
	}
	p := newPolicy(t, clients()...)
	for _, row := range matrix {
		for i, token := range order {
			e := access.Credentials{Certificate: certificates[row.certificate], Authorization: tokens[token], Remote: outside, ClientCAs: theCA}
			if got := outcome(p.Authenticate(e)); got != row.outcomes[i] {
				t.Errorf("certificate %s, token %s: %s; want %s", row.certificate, token, got, row.outcomes[i])
			}
		}
	}
}

func TestPolicy_AuthenticateAcceptsTokenInItsNetworksOnly(t *testing.T) {
	p := newPolicy(t, clients()...)
	for _, test := range []struct {
		name   string
		remote netip.Addr
		want   string
	}{
		{"IPv4", inside, "wiki"},
		{"IPv4 in IPv6 notation", netip.MustParseAddr("::ffff:10.1.2.3"), "wiki"},
		{"IPv6", netip.MustParseAddr("2001:db8::1"), "wiki"},
		{"IPv4, another network", outside, "unauthenticated"},
		{"IPv4 in IPv6 notation, another network", netip.MustParseAddr("::ffff:192.0.2.1"), "unauthenticated"},
		{"IPv6, another network", netip.MustParseAddr("2001:db9::1"), "unauthenticated"},
		{"IPv6 with a zone, which is in no network", netip.MustParseAddr("2001:db8::1%eth0"), "unauthenticated"},
		{"unknown address", netip.Addr{}, "unauthenticated"},
	} {
		e := access.Credentials{Authorization: bearer(wikiToken), Remote: test.remote}
		if got := outcome(p.Authenticate(e)); got != test.want {
			t.Errorf("%s: %s; want %s", test.name, got, test.want)
		}
	}
	if got := outcome(p.Authenticate(access.Credentials{Authorization: bearer(wikiNewToken)})); got != "wiki" {
		t.Errorf("a token without networks, from an unknown address: %s; want wiki", got)
	}
}

func TestPolicy_AuthenticateByTokenGivesNoCommonName(t *testing.T) {
	p := newPolicy(t, clients()...)
	byToken, err := p.Authenticate(access.Credentials{Authorization: bearer(wikiNewToken)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := access.Authorize(byToken, "sessions:get", "wiki:1"); !errors.Is(err, access.ErrDenied) {
		t.Errorf("by token: {cn}:* matched a key: %v", err)
	}
	for name, headers := range map[string][]string{"alone": nil, "with a token of the same client": bearer(wikiNewToken)} {
		id, err := p.Authenticate(access.Credentials{Certificate: cert("wiki"), Authorization: headers, ClientCAs: theCA})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := access.Authorize(id, "sessions:get", "wiki:1"); err != nil {
			t.Errorf("by certificate %s: %v", name, err)
		}
	}
}

func TestPolicy_ZeroValueAuthenticatesNobody(t *testing.T) {
	p := new(access.Policy)
	if got := outcome(p.Authenticate(access.Credentials{Authorization: bearer(opsToken), Remote: inside})); got != "unauthenticated" {
		t.Errorf("token: %s; want unauthenticated", got)
	}
	if got := outcome(p.Authenticate(access.Credentials{SignatureKey: "key", Remote: inside})); got != "unauthenticated" {
		t.Errorf("signature: %s; want unauthenticated", got)
	}
	id, err := p.Authenticate(access.Credentials{Remote: inside})
	if err != nil || id.Client() != "" {
		t.Errorf("no credentials: %q, %v", id.Client(), err)
	}
	for _, audience := range []string{"", "sessions", access.Metrics, access.OpenAPI, access.Operators, access.Health} {
		if err := access.Admit(id, audience); !errors.Is(err, access.ErrDenied) {
			t.Errorf("the zero Policy admits a request to %q: %v", audience, err)
		}
	}
}

func TestPolicy_AuthenticateErrorsShowNoCredential(t *testing.T) {
	p := newPolicy(t, clients()...)
	for _, headers := range [][]string{
		bearer(unknownToken), bearer(wikiToken), {string(unknownToken)}, {"Basic " + string(unknownToken)},
		{"Bearer " + string(unknownToken), "Bearer " + string(wikiToken)}, {"Bearer " + string(unknownToken) + " "},
	} {
		_, err := p.Authenticate(access.Credentials{Authorization: headers, Remote: outside})
		if err == nil {
			t.Errorf("%q was accepted", headers)
			continue
		}
		for _, token := range []access.Token{unknownToken, wikiToken} {
			if strings.Contains(err.Error(), string(token)[9:]) || strings.Contains(err.Error(), token.HashText()[:16]) {
				t.Errorf("%q: the error shows a token: %v", headers, err)
			}
		}
	}
}

func TestPolicy_AuthenticateRejectsCertificateOfTwoClients(t *testing.T) {
	c := access.Client{Name: "third", Certificates: []access.CertificateName{{SAN: "WIKI.example"}}, Grants: []access.Grant{"metrics:get"}}
	p := newPolicy(t, append(clients(), c)...)
	if got := outcome(p.Authenticate(access.Credentials{Certificate: cert("", dns("wiki.example")), ClientCAs: theCA})); got != "unauthenticated" {
		t.Errorf("outcome %s; want unauthenticated", got)
	}
}

// proxyPolicy returns a policy with the proxy edge and the client wiki, both of CA a.
func proxyPolicy(t *testing.T, clientDNCA string) *access.Policy {
	t.Helper()
	wiki := access.Client{Name: "wiki", Certificates: []access.CertificateName{{CA: "a", CN: "wiki"}}, Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"}}
	p, err := access.NewPolicy(access.PolicyConfig{
		Clients: []access.Client{wiki}, Audiences: access.Audiences{"sessions": {{Certificate: yes}}}, Collections: []string{"sessions"},
		ClientCAs: []string{"a", "b"}, Proxies: []access.Proxy{{CA: "a", CN: "edge"}, {CA: "a", CN: "envoy", Header: access.XFCCHeader}}, ClientDNCA: clientDNCA, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPolicy_AuthenticateForwardedCommonName(t *testing.T) {
	for _, test := range []struct {
		name        string
		clientDNCA  string
		credentials access.Credentials
		want        string
	}{
		{"name of a client", "a", access.Credentials{CommonName: "wiki"}, "wiki"},
		{"unknown name", "a", access.Credentials{CommonName: "other"}, "no client"},
		{"another CA", "b", access.Credentials{CommonName: "wiki"}, "no client"},
		{"no CA configured", "", access.Credentials{CommonName: "wiki"}, "unauthenticated"},
		{"no CA configured, but one sent", "", access.Credentials{CommonName: "wiki", ClientCAs: []string{"a"}}, "unauthenticated"},
		{"with a certificate", "a", access.Credentials{CommonName: "wiki", Certificate: cert("wiki"), ClientCAs: []string{"a"}}, "conflict"},
	} {
		if got := outcome(proxyPolicy(t, test.clientDNCA).Authenticate(test.credentials)); got != test.want {
			t.Errorf("%s: %s; want %s", test.name, got, test.want)
		}
	}
}
