package access_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/access"
)

var yes, no = ptr(true), ptr(false)

func ptr(b bool) *bool { return &b }

// ingredient is one kind of evidence in one state: whose client it proves, if any, and whether it is wrong, so that nothing
// else may help.
type ingredient struct {
	name   string
	proves string // wiki, ops, or nobody
	wrong  bool
	add    func(*access.Credentials)
}

var certificateStates = []ingredient{
	{name: "no certificate", add: func(*access.Credentials) {}},
	{name: "wiki's certificate", proves: "wiki", add: withCertificate("a", cert("wiki"))},
	{name: "ops' certificate", proves: "ops", add: withCertificate("b", cert("ops"))},
	{name: "certificate of no client", add: withCertificate("a", cert("nobody"))},
	{name: "wiki's name from another CA", add: withCertificate("b", cert("wiki"))},
	{name: "wiki's name from no CA", wrong: true, add: withCertificate("", cert("wiki"))},
	{name: "expired certificate", wrong: true, add: withCertificate("a", cert("wiki", func(c *x509.Certificate) { c.NotAfter = today.Add(-time.Second) }))},
	{name: "early certificate", wrong: true, add: withCertificate("a", cert("wiki", func(c *x509.Certificate) { c.NotBefore = today.Add(time.Second) }))},
}

func withCertificate(ca string, c *x509.Certificate) func(*access.Credentials) {
	return func(e *access.Credentials) {
		if e.Certificate = c; ca != "" {
			e.ClientCAs = []string{ca}
		}
	}
}

// tokenStates depend on the address, as wiki's token is good inside alone.
func tokenStates(remote netip.Addr) []ingredient {
	with := func(t access.Token) func(*access.Credentials) {
		return func(e *access.Credentials) { e.Authorization = bearer(t) }
	}
	return []ingredient{
		{name: "no token", add: func(*access.Credentials) {}},
		{name: "wiki's token", proves: "wiki", wrong: remote != inside, add: with(wikiToken)},
		{name: "ops' token", proves: "ops", add: with(opsToken)},
		{name: "unknown token", wrong: true, add: with(nobodysToken)},
		{name: "no bearer token", wrong: true, add: func(e *access.Credentials) { e.Authorization = []string{"Basic eA=="} }},
		{name: "two tokens", wrong: true, add: func(e *access.Credentials) { e.Authorization = append(bearer(opsToken), bearer(opsToken)...) }},
	}
}

var signatureStates = []ingredient{
	{name: "no signature", add: func(*access.Credentials) {}},
	{name: "wiki's signature", proves: "wiki", add: func(e *access.Credentials) { e.SignatureKey = "wiki-1" }},
	{name: "ops' signature", proves: "ops", add: func(e *access.Credentials) { e.SignatureKey = "ops-1" }},
	{name: "signature of no client", wrong: true, add: func(e *access.Credentials) { e.SignatureKey = "nobody-1" }},
}

var addresses = []netip.Addr{inside, outside, {}}

// want is the oracle: what the configuration's words mean, in other words than the code has. alternatives are lists of
// protections; client is whom the request is from if it is from anybody.
func want(alternatives [][]string, from []ingredient, remote netip.Addr, key string) bool {
	facts := map[string]bool{"network": remote == inside}
	client := ""
	for i, kind := range []string{"certificate", "token", "signed"} {
		if from[i].wrong {
			return false
		}
		if from[i].proves == "" {
			continue
		}
		if client != "" && client != from[i].proves {
			return false
		}
		client = from[i].proves
		facts[kind] = true
	}
	facts["group"] = client == "wiki" // the farm's only member
	for _, protections := range alternatives {
		all := len(protections) > 0
		for _, p := range protections {
			all = all && facts[p]
		}
		if all {
			return client != "" && strings.HasPrefix(key, client+":")
		}
	}
	return false
}

// alternativeOf spells protections as the configuration does.
func alternativeOf(protections []string) (a access.Alternative) {
	for _, p := range protections {
		switch p {
		case "certificate":
			a.Certificate = yes
		case "token":
			a.Token = yes
		case "signed":
			a.Signed = yes
		case "network":
			a.Network = []string{"10.0.0.0/8"}
		case "group":
			a.Group = "farm"
		}
	}
	return a
}

// provingSets are all sets of protections of which at least one proves a client.
func provingSets() [][]string {
	all := []string{"certificate", "token", "signed", "network", "group"}
	var sets [][]string
	for mask := range 1 << len(all) {
		var set []string
		for i, p := range all {
			if mask&(1<<i) != 0 {
				set = append(set, p)
			}
		}
		if mask&7 != 0 {
			sets = append(sets, set)
		}
	}
	return sets
}

// twoClients have everything on every collection, each on keys of its own, with a credential of each kind.
func twoClients(collections []string) []access.Client {
	var grants []access.Grant
	for _, c := range collections {
		grants = append(grants, access.GrantOn(c, access.Get))
	}
	return []access.Client{
		{
			Name: "wiki", Groups: []string{"farm", "other"}, Certificates: []access.CertificateName{{CA: "a", CN: "wiki"}},
			Tokens:        []access.TokenRule{{SHA256: wikiToken.HashText(), Networks: []string{"10.0.0.0/8"}}},
			SignatureKeys: []access.SignatureKey{{ID: "wiki-1", File: "f"}}, Grants: grants, Keys: []string{"wiki:*"},
		},
		{
			Name: "ops", Groups: []string{"other"}, Certificates: []access.CertificateName{{CA: "b", CN: "ops"}},
			Tokens:        []access.TokenRule{{SHA256: opsToken.HashText()}},
			SignatureKeys: []access.SignatureKey{{ID: "ops-1", File: "f"}}, Grants: grants, Keys: []string{"ops:*"},
		},
	}
}

// TestNoCombinationOpensByAccident asks for every audience of one or two alternatives, each of every set of protections,
// with every combination of evidence, right, wrong and missing.
func TestNoCombinationOpensByAccident(t *testing.T) {
	sets := provingSets()
	alternatives := map[string][][]string{"unlisted": nil, "closed": nil, "shut": nil}
	audiences := access.Audiences{"closed": {}, "shut": {{Allow: no}}}
	for i, a := range sets {
		for j, b := range sets {
			name := fmt.Sprintf("c%d_%d", i, j)
			alternatives[name] = [][]string{a, b}
			audiences[name] = []access.Alternative{alternativeOf(a), alternativeOf(b)}
		}
		name := fmt.Sprintf("c%d", i)
		alternatives[name], audiences[name] = [][]string{a}, []access.Alternative{alternativeOf(a)}
	}
	var collections []string
	for name := range alternatives {
		collections = append(collections, name)
	}
	slices.Sort(collections)
	p, err := access.NewPolicy(access.PolicyConfig{Clients: twoClients(collections), Audiences: audiences, Collections: collections, ClientCAs: []string{"a", "b"}, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	allowed, refused := 0, 0
	for _, remote := range addresses {
		for _, c := range certificateStates {
			for _, tok := range tokenStates(remote) {
				for _, s := range signatureStates {
					from := []ingredient{c, tok, s}
					e := access.Credentials{Remote: remote}
					for _, f := range from {
						f.add(&e)
					}
					id, failed := p.Authenticate(e)
					for _, name := range collections {
						for _, key := range []access.Key{"wiki:1", "ops:1"} {
							caller, err := access.Authorize(id, access.GrantOn(name, access.Get), key)
							open := failed == nil && err == nil
							if open != want(alternatives[name], from, remote, string(key)) {
								t.Fatalf("%s, %s, %s, from %v, audience %v, key of %s: allowed %v (%v, %v)",
									c.name, tok.name, s.name, remote, alternatives[name], key[:3], open, failed, err)
							}
							if open != (caller != access.Caller{}) || open != (caller.Check(access.GrantOn(name, access.Get), key) == nil) {
								t.Fatalf("allowed %v, and the caller is %v", open, caller)
							}
							if open {
								allowed++
							} else {
								refused++
							}
						}
					}
				}
			}
		}
	}
	if allowed < 1000 || refused < allowed {
		t.Errorf("%d were allowed and %d refused: the test does not see both", allowed, refused)
	}
}

func TestANetworkAloneOpensWhatHasNoKeysToWhoeverIsInIt(t *testing.T) {
	only := []access.Alternative{{Network: []string{"10.0.0.0/8"}}}
	p, err := access.NewPolicy(access.PolicyConfig{Clients: clients(), Audiences: access.Audiences{"metrics": only, "health": only}, Collections: []string{"sessions"},
		ClientCAs: theCA, Now: now})

	if err != nil {
		t.Fatal(err)
	}
	for _, remote := range addresses {
		id := identify(t, p, access.Credentials{Remote: remote})
		c, err := access.Authorize(id, "metrics:get", "")
		if (err == nil) != (remote == inside) || (c.Client() == access.Anonymous) != (remote == inside) {
			t.Errorf("metrics from %v: %v, %v", remote, c, err)
		}
		if err != nil && !errors.Is(err, access.ErrDenied) {
			t.Errorf("metrics from %v: %v, though no credential would help", remote, err)
		}
		if err := access.Admit(id, access.Health); (err == nil) != (remote == inside) {
			t.Errorf("health from %v: %v", remote, err)
		}
		for _, grant := range []access.Grant{"openapi:get", "sessions:get", "health:get", "metrics:set"} {
			if _, err := access.Authorize(id, grant, "k"); !errors.Is(err, access.ErrDenied) {
				t.Errorf("%s from %v: %v", grant, remote, err)
			}
		}
	}
	if _, err := p.Authenticate(access.Credentials{Remote: inside, Authorization: bearer(nobodysToken)}); !errors.Is(err, access.ErrUnauthenticated) {
		t.Errorf("a wrong token in the right network: %v", err)
	}
}

func TestDevMayOpenAnAudienceToAnybody(t *testing.T) {
	open := access.Audiences{"sessions": {{Allow: yes}}, "health": {{Allow: yes}}}
	rules := access.PolicyConfig{Clients: clients(), Audiences: open, Collections: []string{"sessions"}, ClientCAs: theCA, Now: now, Dev: true}
	p, err := access.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	id := identify(t, p, access.Credentials{})
	if c, err := access.Authorize(id, "sessions:set", "any"); err != nil || c.Client() != access.Anonymous || c.Check("sessions:set", "any") != nil {
		t.Errorf("sessions: %v, %v", c, err)
	}
	if _, err := access.Authorize(id, "sessions:set", ""); !errors.Is(err, access.ErrDenied) {
		t.Errorf("an empty key: %v", err)
	}
	if _, err := access.Authorize(id, "metrics:get", ""); !errors.Is(err, access.ErrDenied) {
		t.Errorf("metrics, which are not listed: %v", err)
	}
	rules.Dev = false
	_, err = access.NewPolicy(rules)
	if got := mistakes(err); len(got) != 1 || !strings.Contains(got["audiences.sessions[0].allow"], "which only `userinfo dev` does") {
		t.Errorf("outside dev: %v", err)
	}
}

func TestEachMistakeInAnAudienceIsNamedWithItsField(t *testing.T) {
	for _, test := range []struct {
		name string
		in   access.Audiences
		path string
		says string
	}{
		{"none", nil, "audiences", "every route would be closed; list health, metrics, openapi, sessions"},
		{"an unknown one", access.Audiences{"session": {{Token: yes}}}, "audiences.session", "there are health, metrics, openapi, sessions"},
		{"no protection", access.Audiences{"sessions": {{}}}, "audiences.sessions[0]", "lists no protection"},
		{"a protection that is false", access.Audiences{"sessions": {{Token: yes}, {Certificate: no, Token: yes}}}, "audiences.sessions[1].certificate", "write true, or remove the line"},
		{"a network alone for keys", access.Audiences{"sessions": {{Network: []string{"10.0.0.0/8"}}}}, "audiences.sessions[0]", "add certificate, token or signed"},
		{"everybody's network alone", access.Audiences{"metrics": {{Token: yes, Network: []string{"0.0.0.0/0"}}, {Network: []string{"10.0.0.0/8", "::/0"}}}},
			"audiences.metrics[1].network", "is everybody"},
		{"no network", access.Audiences{"sessions": {{Token: yes, Network: []string{}}}}, "audiences.sessions[0].network", "empty"},
		{"a network that is none", access.Audiences{"sessions": {{Token: yes, Network: []string{"10.0.0.0/8", "10.1.2.3"}}}}, "audiences.sessions[0].network[1]", "not a network"},
		{"a network with host bits", access.Audiences{"metrics": {{Network: []string{"10.1.2.3/8"}}}}, "audiences.metrics[0].network[0]", "did you mean 10.0.0.0/8?"},
		{"an unknown group", access.Audiences{"sessions": {{Token: yes, Group: "wikis"}}}, "audiences.sessions[0].group", "no client is in a group of that name"},
		{"a group of nobody knows whom", access.Audiences{"metrics": {{Group: "farm"}}}, "audiences.metrics[0]", "nothing here proves one"},
		{"open", access.Audiences{"metrics": {{Allow: yes}}}, "audiences.metrics[0].allow", "which only `userinfo dev` does"},
		{"open beside a protection", access.Audiences{"health": {{Allow: yes, Token: yes}}}, "audiences.health[0].allow", "stands alone"},
		{"closed beside a protection", access.Audiences{"health": {{Allow: no, Token: yes}}}, "audiences.health[0].allow", "stands alone"},
		{"closed, and yet not", access.Audiences{"sessions": {{Token: yes}, {Allow: no}}}, "audiences.sessions[1].allow", "closes the audience: remove it, or the other alternatives"},
	} {
		with := clients()
		with[0].Groups = []string{"farm"}
		p, err := access.NewPolicy(access.PolicyConfig{Clients: with, Audiences: test.in, Collections: []string{"sessions"}, ClientCAs: theCA, Now: now})
		if got := mistakes(err); p != nil || len(got) != 1 || !strings.Contains(got[test.path], test.says) {
			t.Errorf("%s: %v; want %s: … %s", test.name, err, test.path, test.says)
		}
	}
}

func TestWhoeverComesWithoutACredentialIsToldThatOneIsWanted(t *testing.T) {
	audiences := access.Audiences{"sessions": {{Certificate: yes, Network: []string{"10.0.0.0/8"}}}, "metrics": {{Allow: no}}}
	p, err := access.NewPolicy(access.PolicyConfig{Clients: clients(), Audiences: audiences, Collections: []string{"sessions"}, ClientCAs: theCA, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	nobody := identify(t, p, access.Credentials{Remote: inside})
	for audience, want := range map[string]error{"sessions": access.ErrUnauthenticated, "metrics": access.ErrDenied, "openapi": access.ErrDenied, "": access.ErrDenied} {
		if err := access.Admit(nobody, audience); !errors.Is(err, want) {
			t.Errorf("nobody, %q: %v; want %v", audience, err, want)
		}
	}
	wiki := identify(t, p, access.Credentials{Authorization: bearer(wikiNewToken), Remote: inside})
	if err := access.Admit(wiki, "sessions"); !errors.Is(err, access.ErrDenied) {
		t.Errorf("a client with another credential: %v; want ErrDenied", err)
	}
}
