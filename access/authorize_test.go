package access_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/access"
)

func TestAuthorize_DeniesZeroValues(t *testing.T) {
	for _, grant := range []access.Grant{"", "sessions:get", "metrics:get"} {
		for _, key := range []access.Key{"", "enwiki:1", "*"} {
			if c, err := access.Authorize(access.Identity{}, grant, key); !errors.Is(err, access.ErrDenied) || c != (access.Caller{}) {
				t.Errorf("Authorize(zero Identity, %q, %q) = %v; want ErrDenied", grant, string(key), err)
			}
			if err := (access.Caller{}).Check(grant, key); !errors.Is(err, access.ErrDenied) {
				t.Errorf("zero Caller, Check(%q, %q) = %v; want ErrDenied", grant, string(key), err)
			}
		}
	}
	if name := (access.Identity{}).Client(); name != "" {
		t.Errorf("the zero Identity has client %q", name)
	}
	if name := (access.Caller{}).Client(); name != "" {
		t.Errorf("the zero Caller has client %q", name)
	}
}

func TestAuthorize_AllowsOnlyGrantsOnOwnKeys(t *testing.T) {
	sessions := []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete"}
	others := []access.Grant{"metrics:get", "openapi:get", "other:get", "sessions:", "sessions", ":get", "sessions:list", "SESSIONS:GET", "*", "sessions:*", ""}
	keys := map[access.Key]bool{ // whether the client may use it
		"enwiki:1": true, "enwiki:": true, "enwiki:\x00\xff": true,
		"": false, "enwiki": false, "dewiki:1": false, " enwiki:1": false, "*": false, "ENWIKI:1": false,
	}
	for mask := range 1 << len(sessions) {
		var granted []access.Grant
		has := make(map[access.Grant]bool)
		for i, g := range sessions {
			if mask&(1<<i) != 0 {
				granted, has[g] = append(granted, g), true
			}
		}
		if mask == 0 {
			granted = []access.Grant{"metrics:get"} // a client needs a grant
			has["metrics:get"] = true
		}
		p := newPolicy(t, access.Client{
			Name: "c", Tokens: []access.TokenRule{{SHA256: opsToken.HashText()}}, Grants: granted, Keys: []string{"enwiki:*"},
		})
		id := authenticate(t, p, access.Credentials{Authorization: bearer(opsToken)})
		for _, grant := range append(sessions, others...) {
			for key, own := range keys {
				want := has[grant] && (own || grant == "metrics:get")
				c, err := access.Authorize(id, grant, key)
				if (err == nil) != want || !want && (!errors.Is(err, access.ErrDenied) || c != access.Caller{}) {
					t.Fatalf("granted %v: Authorize(%q, %q) = %v; want allowed: %v", granted, grant, string(key), err, want)
				}
			}
		}
	}
}

func TestCaller_CheckAcceptsOneGrantAndKey(t *testing.T) {
	p := newPolicy(t, clients()...)
	id := authenticate(t, p, access.Credentials{Certificate: cert("wiki"), ClientCAs: theCA})
	c, err := access.Authorize(id, "sessions:get", "enwiki:1")
	if err != nil {
		t.Fatal(err)
	}
	if c.Client() != "wiki" {
		t.Errorf("the Caller has client %q", c.Client())
	}
	if err := c.Check("sessions:get", "enwiki:1"); err != nil {
		t.Errorf("Check of its own grant and key: %v", err)
	}
	for _, other := range []struct {
		grant access.Grant
		key   access.Key
	}{
		{"sessions:set", "enwiki:1"}, {"sessions:get", "enwiki:2"}, {"sessions:get", ""}, {"", "enwiki:1"}, {"other:get", "enwiki:1"},
	} {
		if err := c.Check(other.grant, other.key); !errors.Is(err, access.ErrDenied) {
			t.Errorf("Check(%q, %q) = %v; want ErrDenied", other.grant, string(other.key), err)
		}
	}
}

func TestAuthorize_ResourceWithoutKeysNeedsNoKey(t *testing.T) {
	p := newPolicy(t, clients()...)
	id := authenticate(t, p, access.Credentials{Certificate: cert("ops"), ClientCAs: theCA})
	for _, resource := range []string{access.Metrics, access.OpenAPI, access.Operators} {
		grant := access.GrantOn(resource, access.Get)
		c, err := access.Authorize(id, grant, "")
		if err != nil || c.Check(grant, "") != nil {
			t.Errorf("%s: %v", grant, err)
		}
	}
	if _, err := access.Authorize(id, "sessions:get", "enwiki:1"); !errors.Is(err, access.ErrDenied) {
		t.Errorf("ops may read a session: %v", err)
	}
}

func TestAuthorize_UsesCommonNameOfShownCertificate(t *testing.T) {
	p := newPolicy(t, access.Client{
		Name:         "farm",
		Certificates: []access.CertificateName{{CN: "enwiki"}, {CN: "dewiki"}, {SAN: "farm.example"}},
		Grants:       []access.Grant{"sessions:get"},
		Keys:         []string{"{cn}:*"},
	})
	for _, test := range []struct {
		cn   string
		key  access.Key
		want bool
	}{
		{"enwiki", "enwiki:1", true},
		{"enwiki", "dewiki:1", false},
		{"dewiki", "dewiki:1", true},
		{"", ":1", false},           // found by its SAN, so {cn} has no value
		{"*", "enwiki:1", false},    // a star in a name is literal
		{"*", "*:1", true},          //
		{"{cn}", "{cn}:1", true},    // a name is not expanded again
		{"{cn}", "enwiki:1", false}, //
	} {
		id := authenticate(t, p, access.Credentials{Certificate: cert(test.cn, dns("farm.example")), ClientCAs: theCA})
		if _, err := access.Authorize(id, "sessions:get", test.key); (err == nil) != test.want {
			t.Errorf("common name %q, key %q: %v; want allowed: %v", test.cn, string(test.key), err, test.want)
		}
	}
}

func TestCaller_PrintsWithoutKey(t *testing.T) {
	p := newPolicy(t, access.Client{Name: "c", Tokens: []access.TokenRule{{SHA256: opsToken.HashText()}}, Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"}})
	c, err := access.Authorize(authenticate(t, p, access.Credentials{Authorization: bearer(opsToken)}), "sessions:get", marked)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("message", "caller", c)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("message", "caller", c)
	if strings.Contains(log.String(), marked) {
		t.Errorf("a log shows the key: %s", log.String())
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, v := range []any{c, &c, []access.Caller{c}, struct{ C access.Caller }{c}} {
			wantRedacted(t, fmt.Sprintf("%s of a %T", format, v), fmt.Sprintf(format, v))
		}
	}
}

// credentialState is one kind of credential in one state. A wrong credential must lead to rejection, whatever else is sent.
type credentialState struct {
	name   string
	proves string // the client: wiki, ops or ""
	wrong  bool
	add    func(*access.Credentials)
}

var certificateStates = []credentialState{
	{name: "no certificate", add: func(*access.Credentials) {}},
	{name: "certificate of wiki", proves: "wiki", add: withCertificate("a", cert("wiki"))},
	{name: "certificate of ops", proves: "ops", add: withCertificate("b", cert("ops"))},
	{name: "certificate of no client", add: withCertificate("a", cert("unknown"))},
	{name: "wiki's name, another CA", add: withCertificate("b", cert("wiki"))},
	{name: "wiki's name, no CA", wrong: true, add: withCertificate("", cert("wiki"))},
	{name: "expired certificate", wrong: true, add: withCertificate("a", cert("wiki", func(c *x509.Certificate) { c.NotAfter = today.Add(-time.Second) }))},
	{name: "certificate not valid yet", wrong: true, add: withCertificate("a", cert("wiki", func(c *x509.Certificate) { c.NotBefore = today.Add(time.Second) }))},
}

func withCertificate(ca string, c *x509.Certificate) func(*access.Credentials) {
	return func(e *access.Credentials) {
		if e.Certificate = c; ca != "" {
			e.ClientCAs = []string{ca}
		}
	}
}

// tokenStates returns the states of tokens. wiki's token is accepted only from inside.
func tokenStates(remote netip.Addr) []credentialState {
	with := func(t access.Token) func(*access.Credentials) {
		return func(e *access.Credentials) { e.Authorization = bearer(t) }
	}
	return []credentialState{
		{name: "no token", add: func(*access.Credentials) {}},
		{name: "token of wiki", proves: "wiki", wrong: remote != inside, add: with(wikiToken)},
		{name: "token of ops", proves: "ops", add: with(opsToken)},
		{name: "unknown token", wrong: true, add: with(unknownToken)},
		{name: "another scheme", wrong: true, add: func(e *access.Credentials) { e.Authorization = []string{"Basic eA=="} }},
		{name: "two tokens", wrong: true, add: func(e *access.Credentials) { e.Authorization = append(bearer(opsToken), bearer(opsToken)...) }},
	}
}

var signatureStates = []credentialState{
	{name: "no signature", add: func(*access.Credentials) {}},
	{name: "signature of wiki", proves: "wiki", add: func(e *access.Credentials) { e.SignatureKey = "wiki-1" }},
	{name: "signature of ops", proves: "ops", add: func(e *access.Credentials) { e.SignatureKey = "ops-1" }},
	{name: "signature of an unknown key", wrong: true, add: func(e *access.Credentials) { e.SignatureKey = "unknown-1" }},
}

// expected reports whether a request must be allowed. It is a second implementation, written independently of the package.
// alternatives are lists of protections.
func expected(alternatives [][]string, from []credentialState, remote netip.Addr, key string) bool {
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
	facts["group"] = client == "wiki" // the only client in the group
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

// alternativeOf returns the Alternative with these protections.
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

// authenticatingSets returns all sets of protections that include a credential.
func authenticatingSets() [][]string {
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

// twoClients returns clients with a credential of each kind and grants on all collections, each for its own keys.
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

// It tries all audiences of one or two alternatives, with all sets of protections, and all combinations of right, wrong and
// missing credentials.
func TestAuthorize_EveryCombinationOfCredentials(t *testing.T) {
	sets := authenticatingSets()
	alternatives := map[string][][]string{"unlisted": nil, "closed": nil, "denied": nil}
	audiences := access.Audiences{"closed": {}, "denied": {{Allow: no}}}
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
	allowed, denied := 0, 0
	for _, remote := range addresses {
		for _, c := range certificateStates {
			for _, tok := range tokenStates(remote) {
				for _, s := range signatureStates {
					from := []credentialState{c, tok, s}
					e := access.Credentials{Remote: remote}
					for _, f := range from {
						f.add(&e)
					}
					id, authErr := p.Authenticate(e)
					for _, name := range collections {
						for _, key := range []access.Key{"wiki:1", "ops:1"} {
							caller, err := access.Authorize(id, access.GrantOn(name, access.Get), key)
							open := authErr == nil && err == nil
							if open != expected(alternatives[name], from, remote, string(key)) {
								t.Fatalf("%s, %s, %s, from %v, audience %v, key of %s: allowed %v (errors %v, %v)",
									c.name, tok.name, s.name, remote, alternatives[name], key[:3], open, authErr, err)
							}
							if open != (caller != access.Caller{}) || open != (caller.Check(access.GrantOn(name, access.Get), key) == nil) {
								t.Fatalf("allowed %v, but the Caller is %v", open, caller)
							}
							if open {
								allowed++
							} else {
								denied++
							}
						}
					}
				}
			}
		}
	}
	if allowed < 1000 || denied < allowed {
		t.Errorf("%d allowed, %d denied; the test must see many of both", allowed, denied)
	}
}

// BenchmarkAuthorize measures the way from Credentials to a Caller, for each kind of credential, with few and many clients.
func BenchmarkAuthorize(b *testing.B) {
	certificate := &x509.Certificate{Subject: pkix.Name{CommonName: "wiki"}, NotBefore: today.Add(-time.Hour), NotAfter: today.Add(time.Hour)}
	for _, many := range []int{0, 100} {
		all := clients()
		all[0].SignatureKeys = []access.SignatureKey{{ID: "wiki-1", File: "wiki-1.key"}}
		for n := range many {
			name := fmt.Sprintf("tool-%d", n)
			all = append(all, access.Client{Name: name, Certificates: []access.CertificateName{{CN: name}},
				Tokens: []access.TokenRule{{SHA256: access.Token(name + "-token").HashText()}}, Grants: []access.Grant{"sessions:get"}, Keys: []string{"{cn}:*"}})
		}
		p := newPolicy(b, all...)
		for _, by := range []struct {
			name        string
			credentials access.Credentials
			key         access.Key
		}{
			{"token", access.Credentials{Authorization: []string{"Bearer " + string(wikiToken)}, Remote: inside}, "enwiki:MWSession:abc"},
			{"certificate", access.Credentials{Certificate: certificate, ClientCAs: theCA}, "wiki:MWSession:abc"},
			{"signature", access.Credentials{SignatureKey: "wiki-1"}, "enwiki:MWSession:abc"},
		} {
			b.Run(fmt.Sprintf("%s/%d-clients", by.name, len(all)), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					id, err := p.Authenticate(by.credentials)
					if err == nil {
						err = access.Admit(id, "sessions")
					}
					if err == nil {
						_, err = access.Authorize(id, "sessions:get", by.key)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
