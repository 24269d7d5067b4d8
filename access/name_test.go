package access_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"userinfo/access"
)

// tool is a client that is known by one name of CA a and has the keys of one pattern.
func tool(n access.CertificateName, keys string) access.Client {
	return access.Client{Name: "tool", Certificates: []access.CertificateName{n}, Grants: []access.Grant{"sessions:get"}, Keys: []string{keys}}
}

func ofCAs(authorities []string, clients ...access.Client) (*access.Policy, error) {
	return access.NewPolicy(access.PolicyConfig{Clients: clients, Collections: []string{"sessions"}, ClientCAs: authorities, Now: now,
		Audiences: access.Audiences{"sessions": {{Certificate: yes}}}})

}

func TestWhatAStarStoodForIsKnownToKeyPatterns(t *testing.T) {
	for _, test := range []struct {
		name      string
		configure access.CertificateName
		keys      string
		cert      *x509.Certificate
		key       access.Key
		want      string // ok, nobody or denied
	}{
		{"common name", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-a"), "a:1", "ok"},
		{"another's key", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-a"), "b:1", "denied"},
		{"a longer one's key", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-a"), "ab:1", "denied"},
		{"a shorter one's key", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-ab"), "a:1", "denied"},
		{"another prefix", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tools-a"), "a:1", "nobody"},
		{"nothing for the star", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-"), ":1", "nobody"},
		{"a colon for the star", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-a:b"), "a:b:1", "nobody"},
		{"a star for the star", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-*"), "a:1", "nobody"},
		{"a brace for the star", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-{cn}"), "a:1", "nobody"},
		{"a line end after the name", access.CertificateName{CN: "tool-*"}, "{1}:*", cert("tool-a\n"), "a:1", "nobody"},
		{"common name and star", access.CertificateName{CN: "tool-*"}, "{cn}:{1}:*", cert("tool-a"), "tool-a:a:1", "ok"},
		{"two stars", access.CertificateName{SAN: "spiffe://example/ns/*/sa/*"}, "{2}:{1}:*", cert("", uri("spiffe://example/ns/farm/sa/wiki")), "wiki:farm:1", "ok"},
		{"a slash for a star", access.CertificateName{SAN: "spiffe://example/ns/*/sa/*"}, "{2}:*", cert("", uri("spiffe://example/ns/farm/sa/x/sa/wiki")), "wiki:1", "nobody"},
		{"stars that could stand for this or that", access.CertificateName{CN: "*-*"}, "{1}:*", cert("a-b-c"), "a:1", "nobody"},
		{"stars that could not", access.CertificateName{CN: "*-*"}, "{1}:*", cert("a-b"), "a:1", "ok"},
		{"DNS name", access.CertificateName{SAN: "*.tools.example"}, "{1}:*", cert("", dns("A.Tools.Example")), "a:1", "ok"},
		{"a dot for the star of a DNS name", access.CertificateName{SAN: "*.tools.example"}, "{1}:*", cert("", dns("a.b.tools.example")), "a.b:1", "nobody"},
		{"a wildcard", access.CertificateName{SAN: "*.tools.example"}, "{1}:*", cert("", dns("*.tools.example")), "a:1", "nobody"},
		{"a dot that is no dot", access.CertificateName{SAN: "*.tools.example"}, "{1}:*", cert("", dns("a.toolsxexample")), "a:1", "nobody"},
		{"a URI as DNS name", access.CertificateName{SAN: "spiffe://example/*"}, "{1}:*", cert("", dns("spiffe://example/a")), "a:1", "nobody"},
	} {
		p, err := ofCAs([]string{"a"}, tool(test.configure, test.keys))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		id := identify(t, p, access.Credentials{Certificate: test.cert, ClientCAs: []string{"a"}})
		got := "ok"
		if id.Client() == "" {
			got = "nobody"
		} else if _, err := access.Authorize(id, "sessions:get", test.key); err != nil {
			got = "denied"
		}
		if got != test.want {
			t.Errorf("%s: %s; want %s", test.name, got, test.want)
		}
	}
}

func TestACertificateOfOneCAIsNeverAClientOfAnother(t *testing.T) {
	a := access.Client{Name: "a", Certificates: []access.CertificateName{{CA: "a", CN: "same"}, {CA: "a", SAN: "same.example"}, {CA: "a", CN: "tool-*"}},
		Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"}}
	b := a
	b.Name = "b"
	b.Certificates = []access.CertificateName{{CA: "b", CN: "same"}, {CA: "b", SAN: "same.example"}, {CA: "b", CN: "tool-*"}}
	p, err := ofCAs([]string{"a", "b", "c"}, a, b)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*x509.Certificate{"common name": cert("same"), "alternative name": cert("", dns("same.example")), "star": cert("tool-x")} {
		for _, test := range []struct {
			of   []string
			want string
		}{{[]string{"a"}, "a"}, {[]string{"b"}, "b"}, {[]string{"c"}, "nobody"}, {nil, "unidentified"}, {[]string{""}, "nobody"},
			{[]string{"a", "b"}, "unidentified"}} { // cross-signed, and two clients' at once
			if got := outcome(p.Authenticate(access.Credentials{Certificate: c, ClientCAs: test.of})); got != test.want {
				t.Errorf("%s, of %q: %s; want %s", name, test.of, got, test.want)
			}
		}
	}
}

func TestEachMistakeInACertificateNameIsNamedWithItsField(t *testing.T) {
	for _, test := range []struct {
		name        string
		authorities []string
		client      access.Client
		path, says  string
	}{
		{"which CA", []string{"a", "b"}, tool(access.CertificateName{CN: "x"}, "*"), "clients[0].certificates[0]", "say with ca: whose certificates count, one of a, b"},
		{"an unknown CA", []string{"a", "b"}, tool(access.CertificateName{CA: "c", CN: "x"}, "*"), "clients[0].certificates[0].ca", "tls.client_cas has a, b"},
		{"every certificate", []string{"a"}, tool(access.CertificateName{CN: "*"}, "*"), "clients[0].certificates[0].cn", "every certificate of the CA"},
		{"two stars side by side", []string{"a"}, tool(access.CertificateName{CN: "a**"}, "*"), "clients[0].certificates[0].cn", "side by side"},
		{"too many stars", []string{"a"}, tool(access.CertificateName{SAN: strings.Repeat("a*", 10)}, "*"), "clients[0].certificates[0].san", "10 stars"},
		{"a star that no name has", []string{"a"}, tool(access.CertificateName{CN: "tool-*"}, "{2}:*"), "clients[0].keys[0]", "star 2 of a certificate's name"},
		{"a star without one", []string{"a"}, tool(access.CertificateName{CN: "tool"}, "{1}:*"), "clients[0].keys[0]", "star 1 of a certificate's name"},
		{"keys that run into another's", []string{"a"}, tool(access.CertificateName{CN: "tool-*"}, "{1}*"), "clients[0].keys[0]", "the keys of one client would be another's"},
		{"keys that run into another's, with a letter", []string{"a"}, tool(access.CertificateName{CN: "tool-*"}, "{1}-*"), "clients[0].keys[0]", "would be another's"},
	} {
		_, err := ofCAs(test.authorities, test.client)
		if got := mistakes(err); len(got) != 1 || !strings.Contains(got[test.path], test.says) {
			t.Errorf("%s: %v; want %s: … %s", test.name, err, test.path, test.says)
		}
	}
	one := tool(access.CertificateName{CN: "tool-a"}, "*")
	one.Name = "one"
	_, err := ofCAs([]string{"a"}, tool(access.CertificateName{CN: "tool-*"}, "*"), one)
	if got := mistakes(err); len(got) != 1 || !strings.Contains(got["clients[1].certificates[0]"], `also fits "tool-*" of client "tool"`) {
		t.Errorf("a name within another client's stars: %v", err)
	}
}
