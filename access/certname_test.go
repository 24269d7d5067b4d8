package access_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"userinfo/access"
)

func TestCertificateName_MatchesAnyNameOfCertificate(t *testing.T) {
	p := newPolicy(t, clients()...)
	for _, test := range []struct {
		name string
		cert *x509.Certificate
		want string
	}{
		{"common name", cert("wiki"), "wiki"},
		{"common name, another case", cert("Wiki"), "no client"},
		{"longer common name", cert("wiki.example.evil"), "no client"},
		{"DNS name", cert("", dns("other.example", "wiki.example")), "wiki"},
		{"DNS name, another case", cert("", dns("WIKI.example")), "wiki"},
		{"wildcard is literal", cert("", dns("*.example")), "no client"},
		{"DNS name in the common name", cert("wiki.example"), "no client"},
		{"common name in a DNS name", cert("", dns("wiki")), "no client"},
		{"URI", cert("", uri("spiffe://example/wiki")), "wiki"},
		{"longer URI", cert("", uri("spiffe://example/wiki/more")), "no client"},
		{"URI, another case", cert("", uri("spiffe://example/WIKI")), "no client"},
		{"IP address", cert("", ip("10.9.9.9")), "wiki"},
		{"IP address in IPv6 notation", cert("", ip("::ffff:10.9.9.9")), "wiki"},
		{"another IP address", cert("", ip("10.9.9.8")), "no client"},
		{"IP address in a DNS name", cert("", dns("10.9.9.9")), "wiki"}, // the configuration does not say which kind of name it is
		{"two names of one client", cert("wiki", dns("wiki.example")), "wiki"},
		{"no name", cert(""), "no client"},
		{"last moment of its validity", cert("wiki", func(c *x509.Certificate) { c.NotAfter = today }), "wiki"},
		{"first moment of its validity", cert("wiki", func(c *x509.Certificate) { c.NotBefore = today }), "wiki"},
	} {
		if got := outcome(p.Authenticate(access.Credentials{Certificate: test.cert, ClientCAs: theCA})); got != test.want {
			t.Errorf("%s: %s; want %s", test.name, got, test.want)
		}
	}
}

// tool returns a client with one certificate name and one key pattern.
func tool(n access.CertificateName, keys string) access.Client {
	return access.Client{Name: "tool", Certificates: []access.CertificateName{n}, Grants: []access.Grant{"sessions:get"}, Keys: []string{keys}}
}

func policyOfCAs(clientCAs []string, clients ...access.Client) (*access.Policy, error) {
	return access.NewPolicy(access.PolicyConfig{Clients: clients, Collections: []string{"sessions"}, ClientCAs: clientCAs, Now: now,
		Audiences: access.Audiences{"sessions": {{Certificate: yes}}}})

}

func TestCertificateName_StarsInKeyPatterns(t *testing.T) {
	for _, test := range []struct {
		name      string
		configure access.CertificateName
		keys      string
		cert      *x509.Certificate
		key       access.Key
		want      string // ok, no client or denied
	}{
		{"common name", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-a"), "a:1", "ok"},
		{"key of another client", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-a"), "b:1", "denied"},
		{"key of a longer name", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-a"), "ab:1", "denied"},
		{"key of a shorter name", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-ab"), "a:1", "denied"},
		{"another prefix", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tools-a"), "a:1", "no client"},
		{"star matches nothing", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-"), ":1", "no client"},
		{"star matches a colon", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-a:b"), "a:b:1", "no client"},
		{"star matches a star", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-*"), "a:1", "no client"},
		{"star matches a brace", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-{cn}"), "a:1", "no client"},
		{"newline after the name", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-a\n"), "a:1", "no client"},
		{"common name and star", access.CertificateName{CN: "tool-*"}, "{cn}:{1}:*", cert("tool-a"), "tool-a:a:1", "ok"},
		{"two stars", access.CertificateName{SAN: "spiffe://example/ns/*/sa/*"}, "{2}:{1}:*", cert("", uri("spiffe://example/ns/farm/sa/wiki")), "wiki:farm:1", "ok"},
		{"star matches a slash", access.CertificateName{SAN: "spiffe://example/ns/*/sa/*"}, "{2}:*", cert("", uri("spiffe://example/ns/farm/sa/x/sa/wiki")), "wiki:1", "no client"},
		{"stars match in two ways", access.CertificateName{CN: "*-*"}, "{1}:*", cert("a-b-c"), "a:1", "no client"},
		{"stars match in one way", access.CertificateName{CN: "*-*"}, "{1}:*", cert("a-b"), "a:1", "ok"},
		{"DNS name", access.CertificateName{SAN: "*.tools.example"}, "{1}:*", cert("", dns("A.Tools.Example")), "a:1", "ok"},
		{"star of a DNS name matches a dot", access.CertificateName{SAN: "*.tools.example"}, "{1}:*", cert("", dns("a.b.tools.example")), "a.b:1", "no client"},
		{"wildcard certificate", access.CertificateName{SAN: "*.tools.example"}, "{1}:*", cert("", dns("*.tools.example")), "a:1", "no client"},
		{"dot is not any character", access.CertificateName{SAN: "*.tools.example"}, "{1}:*", cert("", dns("a.toolsxexample")), "a:1", "no client"},
		{"URI in a DNS name", access.CertificateName{SAN: "spiffe://example/*"}, "{1}:*", cert("", dns("spiffe://example/a")), "a:1", "no client"},
	} {
		p, err := policyOfCAs([]string{"a"}, tool(test.configure, test.keys))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		id := authenticate(t, p, access.Credentials{Certificate: test.cert, ClientCAs: []string{"a"}})
		got := "ok"
		if id.Client() == "" {
			got = "no client"
		} else if _, err := access.Authorize(id, "sessions:get", test.key); err != nil {
			got = "denied"
		}
		if got != test.want {
			t.Errorf("%s: %s; want %s", test.name, got, test.want)
		}
	}
}

func TestCertificateName_CountsForItsCAOnly(t *testing.T) {
	a := access.Client{Name: "a", Certificates: []access.CertificateName{{CA: "a", CN: "same"}, {CA: "a", SAN: "same.example"}, {CA: "a", CN: "tool-*"}},
		Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"}}
	b := a
	b.Name = "b"
	b.Certificates = []access.CertificateName{{CA: "b", CN: "same"}, {CA: "b", SAN: "same.example"}, {CA: "b", CN: "tool-*"}}
	p, err := policyOfCAs([]string{"a", "b", "c"}, a, b)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*x509.Certificate{"common name": cert("same"), "alternative name": cert("", dns("same.example")), "star": cert("tool-x")} {
		for _, test := range []struct {
			of   []string
			want string
		}{{[]string{"a"}, "a"}, {[]string{"b"}, "b"}, {[]string{"c"}, "no client"}, {nil, "unauthenticated"}, {[]string{""}, "no client"},
			{[]string{"a", "b"}, "unauthenticated"}} { // cross-signed: the certificate of two clients
			if got := outcome(p.Authenticate(access.Credentials{Certificate: c, ClientCAs: test.of})); got != test.want {
				t.Errorf("%s, signed by %q: %s; want %s", name, test.of, got, test.want)
			}
		}
	}
}

func TestNewPolicy_NamesFieldOfBadCertificateName(t *testing.T) {
	for _, test := range []struct {
		name       string
		clientCAs  []string
		client     access.Client
		path, says string
	}{
		{"no CA, but two to choose from", []string{"a", "b"}, tool(access.CertificateName{CN: "x"}, "*"), "clients[0].certificates[0]", "write ca: with one of a, b"},
		{"an unknown CA", []string{"a", "b"}, tool(access.CertificateName{CA: "c", CN: "x"}, "*"), "clients[0].certificates[0].ca", "known are a, b"},
		{"a star alone", []string{"a"}, tool(access.CertificateName{CN: "*"}, "*"), "clients[0].certificates[0].cn", "every certificate of the CA"},
		{"two stars side by side", []string{"a"}, tool(access.CertificateName{CN: "a**"}, "*"), "clients[0].certificates[0].cn", "side by side"},
		{"too many stars", []string{"a"}, tool(access.CertificateName{SAN: strings.Repeat("a*", 10)}, "*"), "clients[0].certificates[0].san", "10 stars"},
		{"{2} with one star", []string{"a"}, tool(access.CertificateName{CN: "tool-*"}, "{2}:*"), "clients[0].keys[0]", "{2} needs a certificate name with 2 stars"},
		{"{1} without a star", []string{"a"}, tool(access.CertificateName{CN: "tool"}, "{1}:*"), "clients[0].keys[0]", "{1} needs a certificate name with 1 stars"},
		{"{1} and a star", []string{"a"}, tool(access.CertificateName{CN: "tool-*"}, "{1}*"), "clients[0].keys[0]", "{1} must not be followed by"},
		{"{1} and a hyphen", []string{"a"}, tool(access.CertificateName{CN: "tool-*"}, "{1}-*"), "clients[0].keys[0]", "{1} must not be followed by"},
	} {
		_, err := policyOfCAs(test.clientCAs, test.client)
		if got := mistakes(err); len(got) != 1 || !strings.Contains(got[test.path], test.says) {
			t.Errorf("%s: %v; want %s: … %s", test.name, err, test.path, test.says)
		}
	}
	one := tool(access.CertificateName{CN: "tool-a"}, "*")
	one.Name = "one"
	_, err := policyOfCAs([]string{"a"}, tool(access.CertificateName{CN: "tool-*"}, "*"), one)
	if got := mistakes(err); len(got) != 1 || !strings.Contains(got["clients[1].certificates[0]"], `also matches "tool-*" of client "tool"`) {
		t.Errorf("a name that another client's stars match: %v", err)
	}
}
