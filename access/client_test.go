package access_test

import (
	"strings"
	"testing"

	"userinfo/access"
	"userinfo/access/accesstest"
)

func TestNewPolicy_NamesFieldOfBadClient(t *testing.T) {
	hash := opsToken.HashText()
	token := func(rule access.TokenRule) func(*access.Client) {
		return func(c *access.Client) { c.Tokens = []access.TokenRule{rule} }
	}
	certified := func(key string, names ...access.CertificateName) func(*access.Client) {
		return func(c *access.Client) { c.Certificates, c.Keys = names, []string{key} }
	}
	for _, test := range []struct {
		name   string
		change func(*access.Client)
		path   string
		says   string
	}{
		{"no name", func(c *access.Client) { c.Name = "" }, "clients[0].name", "missing"},
		{"no credential", func(c *access.Client) { c.Tokens = nil }, "clients[0]", `"c" cannot authenticate; add certificates, tokens or signature_keys`},
		{"neither cn nor san", func(c *access.Client) { c.Certificates = []access.CertificateName{{CN: "x"}, {}} },
			"clients[0].certificates[1]", "exactly one of cn and san"},
		{"both cn and san", func(c *access.Client) { c.Certificates = []access.CertificateName{{CN: "x", SAN: "y"}} },
			"clients[0].certificates[0]", "exactly one of cn and san"},
		{"the token instead of its hash", token(access.TokenRule{SHA256: string(opsToken)}), "clients[0].tokens[0].sha256", "Never write the token itself here"},
		{"missing hash", token(access.TokenRule{}), "clients[0].tokens[0].sha256", "64 digits"},
		{"a short hash", token(access.TokenRule{SHA256: hash[:62]}), "clients[0].tokens[0].sha256", "64 digits"},
		{"a long hash", token(access.TokenRule{SHA256: hash + "00"}), "clients[0].tokens[0].sha256", "64 digits"},
		{"bits after the prefix of a network", token(access.TokenRule{SHA256: hash, Networks: []string{"10.0.0.0/8", "10.1.2.3/8"}}),
			"clients[0].tokens[0].networks[1]", "did you mean 10.0.0.0/8?"},
		{"the token instead of a network", token(access.TokenRule{SHA256: hash, Networks: []string{string(opsToken)}}), "clients[0].tokens[0].networks[0]", "not a network"},
		{"the token instead of a grant", func(c *access.Client) { c.Grants = []access.Grant{access.Grant(opsToken)} }, "clients[0].grants[0]", "unknown grant"},
		{"no network", token(access.TokenRule{SHA256: hash, Networks: []string{}}), "clients[0].tokens[0].networks", "empty"},
		{"an empty network", token(access.TokenRule{SHA256: hash, Networks: []string{""}}), "clients[0].tokens[0].networks[0]", "not a network"},
		{"an IPv4 network in IPv6 notation", token(access.TokenRule{SHA256: hash, Networks: []string{"::ffff:10.0.0.0/104"}}),
			"clients[0].tokens[0].networks[0]", "write it like 10.0.0.0/8"},
		{"no grants", func(c *access.Client) { c.Grants = nil }, "clients[0].grants", `"c" has no grants`},
		{"an unknown collection", func(c *access.Client) { c.Grants = []access.Grant{"sessions:get", "session:get"} },
			"clients[0].grants[1]", `unknown grant; known are metrics:get, openapi:get, operators:get, sessions:delete, sessions:get, sessions:set, sessions:touch`},
		{"an unknown action", func(c *access.Client) { c.Grants = []access.Grant{"sessions:list"} }, "clients[0].grants[0]", "unknown grant"},
		{"a star instead of a grant", func(c *access.Client) { c.Grants = []access.Grant{"*"} }, "clients[0].grants[0]", "unknown grant"},
		{"set on metrics", func(c *access.Client) { c.Grants = []access.Grant{"metrics:set"} }, "clients[0].grants[0]", "unknown grant"},
		{"no keys", func(c *access.Client) { c.Keys = nil }, "clients[0].keys", `["*"] allows every key`},
		{"an empty key pattern", func(c *access.Client) { c.Keys = []string{"a", ""} }, "clients[0].keys[1]", `write "*" to allow every key`},
		{"stray braces", func(c *access.Client) { c.Keys = []string{"{user}:*"} }, "clients[0].keys[0]", "only {cn} and {1} to {9} are allowed"},
		{"{cn} without a certificate", func(c *access.Client) { c.Keys = []string{"{cn}:*"} }, "clients[0].keys[0]", `client "c" has none`},
		{"{cn} and a star, for a common name with a star", certified("{cn}*", access.CertificateName{CN: "tool-*"}), "clients[0].keys[0]", "{cn} must not be followed by"},
		{"{cn} and a hyphen, for any common name", certified("{cn}-*", access.CertificateName{SAN: "spiffe://example/tool"}), "clients[0].keys[0]", "{cn} must not be followed by"},
		{"{cn} and a digit, for two common names", certified("{cn}2", access.CertificateName{CN: "wiki"}, access.CertificateName{CN: "wiki2"}), "clients[0].keys[0]", "{cn} must not be followed by"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := access.Client{Name: "c", Tokens: []access.TokenRule{{SHA256: hash}}, Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"}}
			newPolicy(t, c)
			test.change(&c)
			p, err := accesstest.Policy([]access.Client{c}, []string{"sessions"}, now)
			if p != nil {
				t.Error("NewPolicy returned a policy and an error")
			}
			got := mistakes(err)
			if len(got) != 1 || !strings.Contains(got[test.path], test.says) {
				t.Errorf("%v; want %s: … %s", got, test.path, test.says)
			}
			if err != nil && strings.Contains(err.Error(), string(opsToken)) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

// TestClient_CommonNameNeedsVerifier gives clients key patterns with {cn}. The common name of a certificate counts only if the
// client is known by it, or if the CA verifies common names. Otherwise, who gets a certificate for tool.example from a CA that
// verifies alternative names only could write enwiki into it.
func TestClient_CommonNameNeedsVerifier(t *testing.T) {
	both := []string{"a", "b"}
	forged := cert("enwiki", dns("tool.example"))
	for _, test := range []struct {
		name      string
		names     []access.CertificateName
		verifiers []string
		keys      string
		says      string // empty: accepted
		allowed   bool   // the key enwiki:1
	}{
		{"a common name", []access.CertificateName{{CA: "a", CN: "enwiki"}}, nil, "{cn}:*", "", true},
		{"an alternative name", []access.CertificateName{{CA: "a", SAN: "tool.example"}}, nil, "{cn}:*", "is known by a san=tool.example", false},
		{"one of two names", []access.CertificateName{{CA: "a", CN: "x"}, {CA: "a", SAN: "tool.example"}}, nil, "{cn}:*", "is known by a san=tool.example", false},
		{"a CA that verifies", []access.CertificateName{{CA: "a", SAN: "tool.example"}}, []string{"a"}, "{cn}:*", "", true},
		{"another CA that verifies", []access.CertificateName{{CA: "a", SAN: "tool.example"}}, []string{"b"}, "{cn}:*", "is known by a san=tool.example", false},
		{"one of two CAs verifies", []access.CertificateName{{CA: "a", SAN: "tool.example"}, {CA: "b", SAN: "tool.example"}}, []string{"a"}, "{cn}:*", "is known by b san=tool.example", false},
		{"the pattern does not use it", []access.CertificateName{{CA: "a", SAN: "tool.example"}}, nil, "dewiki:*", "", false},
		{"a star of the alternative name", []access.CertificateName{{CA: "a", SAN: "*.example"}}, nil, "{1}:*", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := access.NewPolicy(access.PolicyConfig{
				Clients:     []access.Client{{Name: "c", Certificates: test.names, Grants: []access.Grant{"sessions:get"}, Keys: []string{test.keys}}},
				Collections: []string{"sessions"}, ClientCAs: both, CNVerifiers: test.verifiers, Now: now, Audiences: access.Audiences{"sessions": {{Certificate: yes}}},
			})
			if got := mistakes(err); test.says == "" && err != nil || test.says != "" && (len(got) != 1 || !strings.Contains(got["clients[0].keys[0]"], test.says)) {
				t.Fatalf("%v; want %q", err, test.says)
			}
			if err != nil {
				return
			}
			id := authenticate(t, p, access.Credentials{Certificate: forged, ClientCAs: []string{"a"}})
			if _, err := access.Authorize(id, "sessions:get", "enwiki:1"); (err == nil) != test.allowed {
				t.Errorf("%v; want allowed: %v", err, test.allowed)
			}
		})
	}
}
