package access_test

import (
	"errors"
	"strings"
	"testing"

	"userinfo/access"
	"userinfo/access/accesstest"
)

func TestNewPolicy_NeedsClients(t *testing.T) {
	p, err := accesstest.Policy(nil, []string{"sessions"}, now)
	if p != nil || mistakes(err)["clients"] == "" {
		t.Errorf("NewPolicy() = %v, %v; want an error about clients", p, err)
	}
}

func TestNewPolicy_ReportsAllMistakes(t *testing.T) {
	_, err := accesstest.Policy([]access.Client{{Name: "a"}, {Name: "b", Grants: []access.Grant{"x"}, Keys: []string{"{"}}}, nil, now)
	got := mistakes(err)
	for _, path := range []string{"clients[0]", "clients[0].grants", "clients[1]", "clients[1].grants[0]", "clients[1].keys[0]"} {
		if got[path] == "" {
			t.Errorf("no message about %s: %v", path, err)
		}
	}
}

func TestNewPolicy_RejectsCredentialOfTwoClients(t *testing.T) {
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
		if got := mistakes(err); len(got) != 1 || !strings.Contains(got[test.path], "already belongs to client") {
			t.Errorf("%s: %v; want an error of %s", test.name, err, test.path)
		}
	}
}

func TestPolicy_DoesNotChangeWithItsConfig(t *testing.T) {
	given := clients()
	p := newPolicy(t, given...)
	given[0].Tokens[0].Networks[0] = "192.0.2.0/24"
	given[0].Grants[0], given[0].Keys[0] = "metrics:get", "*"
	if got := outcome(p.Authenticate(access.Credentials{Authorization: bearer(wikiToken), Remote: outside})); got != "unauthenticated" {
		t.Errorf("a changed network took effect: %s", got)
	}
	id := authenticate(t, p, access.Credentials{Certificate: cert("wiki"), ClientCAs: theCA})
	if _, err := access.Authorize(id, "metrics:get", ""); !errors.Is(err, access.ErrDenied) {
		t.Errorf("a changed grant took effect: %v", err)
	}
	if _, err := access.Authorize(id, "sessions:get", "dewiki:1"); !errors.Is(err, access.ErrDenied) {
		t.Errorf("a changed key pattern took effect: %v", err)
	}
}

func TestPolicy_IsOpen(t *testing.T) {
	p, err := access.NewPolicy(access.PolicyConfig{Clients: clients(), Collections: []string{"sessions"}, ClientCAs: theCA, CNVerifiers: theCA, Now: now, Audiences: access.Audiences{
		"health": {{Token: yes}, {Allow: yes}}, "metrics": {{Network: []string{"10.0.0.0/8"}}}, "sessions": {{Token: yes}}, "openapi": {{Allow: no}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for audience, want := range map[string]bool{"health": true, "metrics": false, "sessions": false, "openapi": false, "": false, "unknown": false} {
		if got := p.IsOpen(audience); got != want {
			t.Errorf("IsOpen(%q) = %v; want %v", audience, got, want)
		}
	}
	if new(access.Policy).IsOpen("health") {
		t.Error("the zero Policy has an open audience")
	}
}

func TestPolicy_NeedsKey(t *testing.T) {
	p := newPolicy(t, clients()...)
	for grant, want := range map[access.Grant]bool{"sessions:get": true, "sessions:delete": true, "metrics:get": false} {
		if got, err := p.NeedsKey(grant); got != want || err != nil {
			t.Errorf("NeedsKey(%q) = %v, %v; want %v", grant, got, err, want)
		}
	}
	if _, err := p.NeedsKey("sessions:list"); err == nil || !strings.Contains(err.Error(), "known are metrics:get") {
		t.Errorf("NeedsKey of an unknown grant: %v", err)
	}
}
