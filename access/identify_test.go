package access_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/access/accesstest"
)

// today is when every test happens.
var today = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func now() time.Time { return today }

// theCA is what every certificate below is of.
var theCA = []string{access.DefaultClientCA}

// The tokens of the clients below, and one of nobody.
const (
	wikiToken    access.Token = "userinfo_wiki-s-first"
	wikiNewToken access.Token = "userinfo_wiki-s-second"
	opsToken     access.Token = "userinfo_ops"
	nobodysToken access.Token = "userinfo_nobody-s"
)

var (
	inside  = netip.MustParseAddr("10.1.2.3")
	outside = netip.MustParseAddr("192.0.2.1")
)

// clients is the configuration of most tests: a wiki with certificates and two tokens, one for 10.0.0.0/8 alone, and ops.
func clients() []access.Client {
	return []access.Client{
		{
			Name:         "wiki",
			Certificates: []access.CertificateName{{CN: "wiki"}, {SAN: "wiki.example"}, {SAN: "spiffe://example/wiki"}, {SAN: "10.9.9.9"}},
			Tokens: []access.TokenRule{
				{SHA256: wikiToken.HashText(), Networks: []string{"10.0.0.0/8", "2001:db8::/32"}},
				{SHA256: strings.ToUpper(wikiNewToken.HashText())},
			},
			Grants: []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete"},
			Keys:   []string{"enwiki:*", "{cn}:*"},
		},
		{
			Name:         "ops",
			Certificates: []access.CertificateName{{CN: "ops"}},
			Tokens:       []access.TokenRule{{SHA256: opsToken.HashText()}},
			Grants:       []access.Grant{"metrics:get", "openapi:get"},
		},
	}
}

func newPolicy(t testing.TB, clients ...access.Client) *access.Policy {
	t.Helper()
	p, err := accesstest.Policy(clients, []string{"sessions"}, now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// cert is a certificate of that common name, valid today, as TLS would have verified it.
func cert(cn string, change ...func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{
		Subject:   pkix.Name{CommonName: cn},
		NotBefore: today.Add(-time.Hour),
		NotAfter:  today.Add(time.Hour),
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func dns(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, names...) }
}

func uri(text string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		u, err := url.Parse(text)
		if err != nil {
			panic(err)
		}
		c.URIs = append(c.URIs, u)
	}
}

func ip(text string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.IPAddresses = append(c.IPAddresses, netip.MustParseAddr(text).AsSlice())
	}
}

func bearer(t access.Token) []string { return []string{"Bearer " + string(t)} }

// outcome is how the tables below call what Authenticate says.
func outcome(id access.Identity, err error) string {
	switch {
	case err == nil && id.Client() == "":
		return "nobody"
	case err == nil:
		return id.Client()
	case id != access.Identity{}:
		return "an error, and an identity all the same"
	case errors.Is(err, access.ErrMalformed):
		return "malformed"
	case errors.Is(err, access.ErrUnauthenticated):
		return "unidentified"
	case errors.Is(err, access.ErrConflict):
		return "conflict"
	}
	return "unknown error " + err.Error()
}

func TestEachPairOfCredentialsIsOneClientOrARefusal(t *testing.T) {
	certificates := map[string]*x509.Certificate{
		"none":      nil,
		"wiki's":    cert("wiki"),
		"unknown":   cert("somebody", dns("somebody.example"), uri("spiffe://example/somebody"), ip("10.9.9.10")),
		"nameless":  cert(""),
		"expired":   cert("wiki", func(c *x509.Certificate) { c.NotAfter = today.Add(-time.Nanosecond) }),
		"early":     cert("wiki", func(c *x509.Certificate) { c.NotBefore = today.Add(time.Nanosecond) }),
		"ambiguous": cert("ops", dns("wiki.example")),
	}
	tokens := map[string][]string{
		"none":      nil,
		"wiki's":    bearer(wikiNewToken),
		"ops'":      bearer(opsToken),
		"unknown":   bearer(nobodysToken),
		"outside":   bearer(wikiToken),
		"malformed": {"Basic d2lraTpwYXNzd29yZA=="},
	}
	order := []string{"none", "wiki's", "ops'", "unknown", "outside", "malformed"}
	const n, u, m = "nobody", "unidentified", "malformed"
	matrix := []struct {
		certificate string
		outcomes    [6]string // by token, in that order
	}{
		{"none", [6]string{n, "wiki", "ops", u, u, m}},
		{"wiki's", [6]string{"wiki", "wiki", "conflict", u, u, m}},
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

func TestACertificateIsKnownByAnyOfItsNames(t *testing.T) {
	p := newPolicy(t, clients()...)
	for _, test := range []struct {
		name string
		cert *x509.Certificate
		want string
	}{
		{"common name", cert("wiki"), "wiki"},
		{"common name in another case", cert("Wiki"), "nobody"},
		{"common name with more", cert("wiki.example.evil"), "nobody"},
		{"DNS name", cert("", dns("other.example", "wiki.example")), "wiki"},
		{"DNS name in another case, as DNS has it", cert("", dns("WIKI.example")), "wiki"},
		{"a wildcard is a name of its own", cert("", dns("*.example")), "nobody"},
		{"a DNS name as common name", cert("wiki.example"), "nobody"},
		{"a common name as DNS name", cert("", dns("wiki")), "nobody"},
		{"URI", cert("", uri("spiffe://example/wiki")), "wiki"},
		{"URI with a longer path", cert("", uri("spiffe://example/wiki/more")), "nobody"},
		{"URI in another case", cert("", uri("spiffe://example/WIKI")), "nobody"},
		{"IP address", cert("", ip("10.9.9.9")), "wiki"},
		{"IP address in its IPv6 form", cert("", ip("::ffff:10.9.9.9")), "wiki"},
		{"another IP address", cert("", ip("10.9.9.8")), "nobody"},
		{"an IP address as DNS name", cert("", dns("10.9.9.9")), "wiki"}, // the text is what is configured
		{"two names of one client", cert("wiki", dns("wiki.example")), "wiki"},
		{"no name at all", cert(""), "nobody"},
		{"on its last moment", cert("wiki", func(c *x509.Certificate) { c.NotAfter = today }), "wiki"},
		{"on its first moment", cert("wiki", func(c *x509.Certificate) { c.NotBefore = today }), "wiki"},
	} {
		if got := outcome(p.Authenticate(access.Credentials{Certificate: test.cert, ClientCAs: theCA})); got != test.want {
			t.Errorf("%s: %s; want %s", test.name, got, test.want)
		}
	}
}

func TestATokenIsGoodInItsNetworksAlone(t *testing.T) {
	p := newPolicy(t, clients()...)
	for _, test := range []struct {
		name   string
		remote netip.Addr
		want   string
	}{
		{"IPv4", inside, "wiki"},
		{"IPv4 in its IPv6 form", netip.MustParseAddr("::ffff:10.1.2.3"), "wiki"},
		{"IPv6", netip.MustParseAddr("2001:db8::1"), "wiki"},
		{"IPv4 elsewhere", outside, "unidentified"},
		{"IPv4 elsewhere in its IPv6 form", netip.MustParseAddr("::ffff:192.0.2.1"), "unidentified"},
		{"IPv6 elsewhere", netip.MustParseAddr("2001:db9::1"), "unidentified"},
		{"an IPv6 address with a zone, which no network has", netip.MustParseAddr("2001:db8::1%eth0"), "unidentified"},
		{"an address that is not known", netip.Addr{}, "unidentified"},
	} {
		e := access.Credentials{Authorization: bearer(wikiToken), Remote: test.remote}
		if got := outcome(p.Authenticate(e)); got != test.want {
			t.Errorf("%s: %s; want %s", test.name, got, test.want)
		}
	}
	if got := outcome(p.Authenticate(access.Credentials{Authorization: bearer(wikiNewToken)})); got != "wiki" {
		t.Errorf("a token without networks is good from everywhere, even from an unknown address; got %s", got)
	}
}

func TestAuthorizationIsOneBearerToken(t *testing.T) {
	p := newPolicy(t, clients()...)
	right := string(opsToken)
	for _, test := range []struct {
		name    string
		headers []string
		want    string
	}{
		{"as RFC 6750 has it", []string{"Bearer " + right}, "ops"},
		{"the scheme in another case", []string{"bEARER " + right}, "ops"},
		{"more spaces", []string{"Bearer   " + right}, "ops"},
		{"another token", []string{"Bearer " + right + "x"}, "unidentified"},
		{"padding is part of it", []string{"Bearer " + right + "="}, "unidentified"},
		{"every character that is allowed", []string{"Bearer aZ09-._~+/=="}, "unidentified"},
		{"the longest", []string{"Bearer " + strings.Repeat("a", 1024)}, "unidentified"},
		{"longer", []string{"Bearer " + strings.Repeat("a", 1025)}, "malformed"},
		{"an empty header", []string{""}, "malformed"},
		{"the scheme alone", []string{"Bearer"}, "malformed"},
		{"the scheme and a space", []string{"Bearer "}, "malformed"},
		{"padding alone", []string{"Bearer =="}, "malformed"},
		{"padding inside", []string{"Bearer a=b"}, "malformed"},
		{"the token alone", []string{right}, "malformed"},
		{"two headers, both right", []string{"Bearer " + right, "Bearer " + right}, "malformed"},
		{"two tokens in one", []string{"Bearer " + right + ", Bearer " + right}, "malformed"},
		{"a space after it", []string{"Bearer " + right + " "}, "malformed"},
		{"a tab", []string{"Bearer\t" + right}, "malformed"},
		{"a byte that is not ASCII", []string{"Bearer " + right + "\xff"}, "malformed"},
		{"NUL", []string{"Bearer " + right + "\x00"}, "malformed"},
		{"another scheme", []string{"Basic " + right}, "malformed"},
		{"an unknown scheme", []string{"Bearers " + right}, "malformed"},
	} {
		e := access.Credentials{Authorization: test.headers}
		if got := outcome(p.Authenticate(e)); got != test.want {
			t.Errorf("%s: %s; want %s", test.name, got, test.want)
		}
	}
}

func TestATokenGivesNoCommonName(t *testing.T) {
	p := newPolicy(t, clients()...)
	byToken, err := p.Authenticate(access.Credentials{Authorization: bearer(wikiNewToken)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := access.Authorize(byToken, "sessions:get", "wiki:1"); !errors.Is(err, access.ErrDenied) {
		t.Errorf("by token: {cn}:* took a key: %v", err)
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

func TestThePolicyOfNobodyIdentifiesNobody(t *testing.T) {
	p := new(access.Policy)
	if got := outcome(p.Authenticate(access.Credentials{Authorization: bearer(opsToken), Remote: inside})); got != "unidentified" {
		t.Errorf("a token: %s; want unidentified", got)
	}
	if got := outcome(p.Authenticate(access.Credentials{SignatureKey: "key", Remote: inside})); got != "unidentified" {
		t.Errorf("a signature: %s; want unidentified", got)
	}
	id, err := p.Authenticate(access.Credentials{Remote: inside})
	if err != nil || id.Client() != "" {
		t.Errorf("nothing: %q, %v", id.Client(), err)
	}
	for _, audience := range []string{"", "sessions", access.Metrics, access.OpenAPI, access.Health} {
		if err := access.Admit(id, audience); !errors.Is(err, access.ErrDenied) {
			t.Errorf("it admits nobody to %q: %v", audience, err)
		}
	}
}

func TestRefusalsShowNoCredential(t *testing.T) {
	p := newPolicy(t, clients()...)
	for _, headers := range [][]string{
		bearer(nobodysToken), bearer(wikiToken), {string(nobodysToken)}, {"Basic " + string(nobodysToken)},
		{"Bearer " + string(nobodysToken), "Bearer " + string(wikiToken)}, {"Bearer " + string(nobodysToken) + " "},
	} {
		_, err := p.Authenticate(access.Credentials{Authorization: headers, Remote: outside})
		if err == nil {
			t.Errorf("%q was taken", headers)
			continue
		}
		for _, token := range []access.Token{nobodysToken, wikiToken} {
			if strings.Contains(err.Error(), string(token)[9:]) || strings.Contains(err.Error(), token.HashText()[:16]) {
				t.Errorf("%q: the error shows a token: %v", headers, err)
			}
		}
	}
}
