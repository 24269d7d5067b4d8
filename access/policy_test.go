package access_test

import (
	"errors"
	"strings"
	"testing"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/internal/field"
)

// mistakes are field paths and a part of what is said of each, as Policy reports them.
func mistakes(err error) map[string]string {
	all := make(map[string]string)
	for _, e := range field.All(err) {
		all[e.Path] += e.Err.Error() + "\n"
	}
	return all
}

func TestEachMistakeIsNamedWithItsField(t *testing.T) {
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
		{"no credential", func(c *access.Client) { c.Tokens = nil }, "clients[0]", `"c" has neither certificates nor tokens nor signature_keys`},
		{"neither cn nor san", func(c *access.Client) { c.Certificates = []access.CertificateName{{CN: "x"}, {}} },
			"clients[0].certificates[1]", "exactly one of cn and san"},
		{"both cn and san", func(c *access.Client) { c.Certificates = []access.CertificateName{{CN: "x", SAN: "y"}} },
			"clients[0].certificates[0]", "exactly one of cn and san"},
		{"the token instead of its hash", token(access.TokenRule{SHA256: string(opsToken)}), "clients[0].tokens[0].sha256", "Never put the token itself here"},
		{"no hash", token(access.TokenRule{}), "clients[0].tokens[0].sha256", "64 digits"},
		{"a short hash", token(access.TokenRule{SHA256: hash[:62]}), "clients[0].tokens[0].sha256", "64 digits"},
		{"a long hash", token(access.TokenRule{SHA256: hash + "00"}), "clients[0].tokens[0].sha256", "64 digits"},
		{"host bits in a network", token(access.TokenRule{SHA256: hash, Networks: []string{"10.0.0.0/8", "10.1.2.3/8"}}),
			"clients[0].tokens[0].networks[1]", "did you mean 10.0.0.0/8?"},
		{"the token instead of a network", token(access.TokenRule{SHA256: hash, Networks: []string{string(opsToken)}}), "clients[0].tokens[0].networks[0]", "not a network"},
		{"a grant that is a token", func(c *access.Client) { c.Grants = []access.Grant{access.Grant(opsToken)} }, "clients[0].grants[0]", "unknown grant"},
		{"no network at all", token(access.TokenRule{SHA256: hash, Networks: []string{}}), "clients[0].tokens[0].networks", "empty"},
		{"an empty network", token(access.TokenRule{SHA256: hash, Networks: []string{""}}), "clients[0].tokens[0].networks[0]", "not a network"},
		{"an IPv4 network in IPv6's form", token(access.TokenRule{SHA256: hash, Networks: []string{"::ffff:10.0.0.0/104"}}),
			"clients[0].tokens[0].networks[0]", "write it as 10.0.0.0/8"},
		{"no grants", func(c *access.Client) { c.Grants = nil }, "clients[0].grants", `"c" is granted nothing`},
		{"an unknown collection", func(c *access.Client) { c.Grants = []access.Grant{"sessions:get", "session:get"} },
			"clients[0].grants[1]", `unknown grant; known are metrics:get, openapi:get, sessions:delete, sessions:get, sessions:set, sessions:touch`},
		{"an unknown action", func(c *access.Client) { c.Grants = []access.Grant{"sessions:list"} }, "clients[0].grants[0]", "unknown grant"},
		{"a star for a grant", func(c *access.Client) { c.Grants = []access.Grant{"*"} }, "clients[0].grants[0]", "unknown grant"},
		{"metrics cannot be set", func(c *access.Client) { c.Grants = []access.Grant{"metrics:set"} }, "clients[0].grants[0]", "unknown grant"},
		{"no keys", func(c *access.Client) { c.Keys = nil }, "clients[0].keys", `["*"] is every key`},
		{"an empty key pattern", func(c *access.Client) { c.Keys = []string{"a", ""} }, "clients[0].keys[1]", `write "*" for every key`},
		{"stray braces", func(c *access.Client) { c.Keys = []string{"{user}:*"} }, "clients[0].keys[0]", "only {cn}, and {1} to {9}"},
		{"{cn} without a certificate", func(c *access.Client) { c.Keys = []string{"{cn}:*"} }, "clients[0].keys[0]", `client "c" has none`},
		{"a common name that a longer one continues", certified("{cn}*", access.CertificateName{CN: "tool-*"}), "clients[0].keys[0]", "{cn} must be followed by"},
		{"a common name of anybody's choice", certified("{cn}-*", access.CertificateName{SAN: "spiffe://example/tool"}), "clients[0].keys[0]", "{cn} must be followed by"},
		{"one of two common names", certified("{cn}2", access.CertificateName{CN: "wiki"}, access.CertificateName{CN: "wiki2"}), "clients[0].keys[0]", "{cn} must be followed by"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := access.Client{Name: "c", Tokens: []access.TokenRule{{SHA256: hash}}, Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"}}
			newPolicy(t, c)
			test.change(&c)
			p, err := accesstest.Policy([]access.Client{c}, []string{"sessions"}, now)
			if p != nil {
				t.Error("there is a policy beside the error")
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

func TestWithoutClientsThereIsNoPolicy(t *testing.T) {
	p, err := accesstest.Policy(nil, []string{"sessions"}, now)
	if p != nil || mistakes(err)["clients"] == "" {
		t.Errorf("Policy() = %v, %v; want an error about clients", p, err)
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	_, err := accesstest.Policy([]access.Client{{Name: "a"}, {Name: "b", Grants: []access.Grant{"x"}, Keys: []string{"{"}}}, nil, now)
	got := mistakes(err)
	for _, path := range []string{"clients[0]", "clients[0].grants", "clients[1]", "clients[1].grants[0]", "clients[1].keys[0]"} {
		if got[path] == "" {
			t.Errorf("nothing is said of %s: %v", path, err)
		}
	}
}

func TestOneCredentialIsOneClients(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*access.Client)
		path   string
	}{
		{"name", func(c *access.Client) { c.Name = "wiki" }, "clients[2].name"},
		{"common name", func(c *access.Client) { c.Certificates = []access.CertificateName{{CN: "new"}, {CN: "wiki"}} }, "clients[2].certificates[1]"},
		{"alternative name", func(c *access.Client) { c.Certificates = []access.CertificateName{{SAN: "wiki.example"}} }, "clients[2].certificates[0]"},
		{"token", func(c *access.Client) { c.Tokens = []access.TokenRule{{SHA256: wikiToken.HashText()}} }, "clients[2].tokens[0].sha256"},
		{"token in another case", func(c *access.Client) { c.Tokens = []access.TokenRule{{SHA256: strings.ToUpper(opsToken.HashText())}} }, "clients[2].tokens[0].sha256"},
	} {
		c := access.Client{Name: "third", Certificates: []access.CertificateName{{CN: "third"}}, Grants: []access.Grant{"metrics:get"}}
		test.change(&c)
		_, err := accesstest.Policy(append(clients(), c), []string{"sessions"}, now)
		if got := mistakes(err); len(got) != 1 || !strings.Contains(got[test.path], "already given to client") {
			t.Errorf("%s: %v; want it about %s", test.name, err, test.path)
		}
	}
}

func TestANameThatTwoClientsSpellDifferentlyIsNeithers(t *testing.T) {
	c := access.Client{Name: "third", Certificates: []access.CertificateName{{SAN: "WIKI.example"}}, Grants: []access.Grant{"metrics:get"}}
	p := newPolicy(t, append(clients(), c)...)
	if got := outcome(p.Authenticate(access.Credentials{Certificate: cert("", dns("wiki.example")), ClientCAs: theCA})); got != "unidentified" {
		t.Errorf("it was %s", got)
	}
}

func TestAPolicyDoesNotChangeWithWhatItWasMadeOf(t *testing.T) {
	given := clients()
	p := newPolicy(t, given...)
	given[0].Tokens[0].Networks[0] = "192.0.2.0/24"
	given[0].Grants[0], given[0].Keys[0] = "metrics:get", "*"
	if got := outcome(p.Authenticate(access.Credentials{Authorization: bearer(wikiToken), Remote: outside})); got != "unidentified" {
		t.Errorf("a network came in afterwards: %s", got)
	}
	id := identify(t, p, access.Credentials{Certificate: cert("wiki"), ClientCAs: theCA})
	if _, err := access.Authorize(id, "metrics:get", ""); !errors.Is(err, access.ErrDenied) {
		t.Errorf("a grant came in afterwards: %v", err)
	}
	if _, err := access.Authorize(id, "sessions:get", "dewiki:1"); !errors.Is(err, access.ErrDenied) {
		t.Errorf("a key pattern came in afterwards: %v", err)
	}
}
