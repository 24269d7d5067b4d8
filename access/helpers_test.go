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
	"userinfo/internal/field"
)

func authenticate(t testing.TB, p *access.Policy, e access.Credentials) access.Identity {
	t.Helper()
	id, err := p.Authenticate(e)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var yes, no = ptr(true), ptr(false)

func ptr(b bool) *bool { return &b }

var addresses = []netip.Addr{inside, outside, {}}

// today is the time of all tests.
var today = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func now() time.Time { return today }

// theCA is the CA of the certificates that cert returns.
var theCA = []string{access.DefaultClientCA}

// Tokens of the clients below, and a token of no client.
const (
	wikiToken    access.Token = "userinfo_wiki-s-first"
	wikiNewToken access.Token = "userinfo_wiki-s-second"
	opsToken     access.Token = "userinfo_ops-s-only"
	unknownToken access.Token = "userinfo_q7x3z9-of-no-client"
)

var (
	inside  = netip.MustParseAddr("10.1.2.3")
	outside = netip.MustParseAddr("192.0.2.1")
)

// clients returns the clients of most tests: wiki, with certificates and two tokens (one is limited to 10.0.0.0/8 and
// 2001:db8::/32), and ops.
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
			Grants:       []access.Grant{"metrics:get", "openapi:get", "operators:get"},
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

// cert returns a certificate with a common name that is valid today.
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

// outcome returns the result of Authenticate in one word, for test tables.
func outcome(id access.Identity, err error) string {
	switch {
	case err == nil && id.Client() == "":
		return "no client"
	case err == nil:
		return id.Client()
	case id != access.Identity{}:
		return "an error and an identity"
	case errors.Is(err, access.ErrMalformed):
		return "malformed"
	case errors.Is(err, access.ErrUnauthenticated):
		return "unauthenticated"
	case errors.Is(err, access.ErrConflict):
		return "conflict"
	}
	return "unknown error " + err.Error()
}

// mistakes returns the messages in an error of NewPolicy by field path.
func mistakes(err error) map[string]string {
	all := make(map[string]string)
	for _, e := range field.All(err) {
		all[e.Path] += e.Err.Error() + "\n"
	}
	return all
}
