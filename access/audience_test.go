package access_test

import (
	"errors"
	"strings"
	"testing"

	"userinfo/access"
)

func TestAudience_NetworkAloneOpensResourceWithoutKeys(t *testing.T) {
	only := []access.Alternative{{Network: []string{"10.0.0.0/8"}}}
	p, err := access.NewPolicy(access.PolicyConfig{Clients: clients(), Audiences: access.Audiences{"metrics": only, "health": only}, Collections: []string{"sessions"},
		ClientCAs: theCA, CNVerifiers: theCA, Now: now})

	if err != nil {
		t.Fatal(err)
	}
	for _, remote := range addresses {
		id := authenticate(t, p, access.Credentials{Remote: remote})
		c, err := access.Authorize(id, "metrics:get", "")
		if (err == nil) != (remote == inside) || (c.Client() == access.Anonymous) != (remote == inside) {
			t.Errorf("metrics from %v: %v, %v", remote, c, err)
		}
		if err != nil && !errors.Is(err, access.ErrDenied) {
			t.Errorf("metrics from %v: %v; want ErrDenied, because no credential can help", remote, err)
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
	if _, err := p.Authenticate(access.Credentials{Remote: inside, Authorization: bearer(unknownToken)}); !errors.Is(err, access.ErrUnauthenticated) {
		t.Errorf("a wrong token from the right network: %v", err)
	}
}

func TestAudience_OnlyDevOpensToEverybody(t *testing.T) {
	open := access.Audiences{"sessions": {{Allow: yes}}, "health": {{Allow: yes}}}
	rules := access.PolicyConfig{Clients: clients(), Audiences: open, Collections: []string{"sessions"}, ClientCAs: theCA, CNVerifiers: theCA, Now: now, Dev: true}
	p, err := access.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	id := authenticate(t, p, access.Credentials{})
	if c, err := access.Authorize(id, "sessions:set", "any"); err != nil || c.Client() != access.Anonymous || c.Check("sessions:set", "any") != nil {
		t.Errorf("sessions: %v, %v", c, err)
	}
	if _, err := access.Authorize(id, "sessions:set", ""); !errors.Is(err, access.ErrDenied) {
		t.Errorf("empty key: %v", err)
	}
	if _, err := access.Authorize(id, "metrics:get", ""); !errors.Is(err, access.ErrDenied) {
		t.Errorf("metrics, which is not listed: %v", err)
	}
	rules.Dev = false
	_, err = access.NewPolicy(rules)
	if got := mistakes(err); len(got) != 1 || !strings.Contains(got["audiences.sessions[0].allow"], "which only `userinfo dev` does") {
		t.Errorf("without Dev: %v", err)
	}
}

func TestNewPolicy_NamesFieldOfBadAudience(t *testing.T) {
	for _, test := range []struct {
		name string
		in   access.Audiences
		path string
		says string
	}{
		{"no audiences", nil, "audiences", "every request would be denied; list health, metrics, openapi, operators, sessions"},
		{"unknown audience", access.Audiences{"session": {{Token: yes}}}, "audiences.session", "known are health, metrics, openapi, operators, sessions"},
		{"no protection", access.Audiences{"sessions": {{}}}, "audiences.sessions[0]", "lists no protection"},
		{"a protection that is false", access.Audiences{"sessions": {{Token: yes}, {Certificate: no, Token: yes}}}, "audiences.sessions[1].certificate", "write true, or remove the line"},
		{"a network alone for keys", access.Audiences{"sessions": {{Network: []string{"10.0.0.0/8"}}}}, "audiences.sessions[0]", "add certificate, token or signed"},
		{"a network alone for operators", access.Audiences{"operators": {{Network: []string{"10.0.0.0/8"}}}}, "audiences.operators[0]", "add certificate, token or signed"},
		{"operators open to everybody", access.Audiences{"operators": {{Allow: yes}}}, "audiences.operators[0].allow", "which only `userinfo dev` does"},
		{"a network of every address alone", access.Audiences{"metrics": {{Token: yes, Network: []string{"0.0.0.0/0"}}, {Network: []string{"10.0.0.0/8", "::/0"}}}},
			"audiences.metrics[1].network", "contains every address"},
		{"no network", access.Audiences{"sessions": {{Token: yes, Network: []string{}}}}, "audiences.sessions[0].network", "empty"},
		{"not a network", access.Audiences{"sessions": {{Token: yes, Network: []string{"10.0.0.0/8", "10.1.2.3"}}}}, "audiences.sessions[0].network[1]", "not a network"},
		{"a network with host bits", access.Audiences{"metrics": {{Network: []string{"10.1.2.3/8"}}}}, "audiences.metrics[0].network[0]", "did you mean 10.0.0.0/8?"},
		{"an unknown group", access.Audiences{"sessions": {{Token: yes, Group: "wikis"}}}, "audiences.sessions[0].group", "no client is in this group"},
		{"a group without a credential", access.Audiences{"metrics": {{Group: "farm"}}}, "audiences.metrics[0]", "nothing here authenticates a client"},
		{"open to everybody", access.Audiences{"metrics": {{Allow: yes}}}, "audiences.metrics[0].allow", "which only `userinfo dev` does"},
		{"open and a protection", access.Audiences{"health": {{Allow: yes, Token: yes}}}, "audiences.health[0].allow", "must be the only field"},
		{"closed and a protection", access.Audiences{"health": {{Allow: no, Token: yes}}}, "audiences.health[0].allow", "must be the only field"},
		{"closed and another alternative", access.Audiences{"sessions": {{Token: yes}, {Allow: no}}}, "audiences.sessions[1].allow", "closes the audience; remove it, or remove the other alternatives"},
	} {
		with := clients()
		with[0].Groups = []string{"farm"}
		p, err := access.NewPolicy(access.PolicyConfig{Clients: with, Audiences: test.in, Collections: []string{"sessions"}, ClientCAs: theCA, CNVerifiers: theCA, Now: now})
		if got := mistakes(err); p != nil || len(got) != 1 || !strings.Contains(got[test.path], test.says) {
			t.Errorf("%s: %v; want %s: … %s", test.name, err, test.path, test.says)
		}
	}
}

func TestAdmit_MissingCredentialIsUnauthenticated(t *testing.T) {
	audiences := access.Audiences{"sessions": {{Certificate: yes, Network: []string{"10.0.0.0/8"}}}, "metrics": {{Allow: no}}}
	p, err := access.NewPolicy(access.PolicyConfig{Clients: clients(), Audiences: audiences, Collections: []string{"sessions"}, ClientCAs: theCA, CNVerifiers: theCA, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	anonymous := authenticate(t, p, access.Credentials{Remote: inside})
	for audience, want := range map[string]error{"sessions": access.ErrUnauthenticated, "metrics": access.ErrDenied, "openapi": access.ErrDenied, "": access.ErrDenied} {
		if err := access.Admit(anonymous, audience); !errors.Is(err, want) {
			t.Errorf("no client, audience %q: %v; want %v", audience, err, want)
		}
	}
	wiki := authenticate(t, p, access.Credentials{Authorization: bearer(wikiNewToken), Remote: inside})
	if err := access.Admit(wiki, "sessions"); !errors.Is(err, access.ErrDenied) {
		t.Errorf("a client with another credential: %v; want ErrDenied", err)
	}
}
