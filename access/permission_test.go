package access_test

import (
	"reflect"
	"testing"

	"userinfo/access"
)

func TestPolicy_Permissions(t *testing.T) {
	all := clients()
	all[0].Groups = []string{"farm"}
	p, err := access.NewPolicy(access.PolicyConfig{Clients: all, Collections: []string{"sessions"}, ClientCAs: theCA, CNVerifiers: theCA, Now: now, Audiences: access.Audiences{
		"sessions": {{Certificate: yes, Group: "farm"}, {Token: yes, Network: []string{"10.0.0.0/8"}}, {Signed: yes}},
		"metrics":  {{Network: []string{"10.0.0.0/8"}}, {Signed: yes}},
		"health":   {{Allow: yes}},
		"openapi":  {{Allow: no}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []access.Permission{
		{Client: access.Anonymous, Audience: "health", Actions: []access.Action{access.Get}, Alternatives: []string{"nothing"}},
		{Client: access.Anonymous, Audience: "metrics", Actions: []access.Action{access.Get}, Alternatives: []string{"network 10.0.0.0/8"}},
		{Client: "wiki", Audience: "sessions", Actions: []access.Action{access.Get, access.Set, access.Touch, access.Delete},
			Alternatives: []string{"certificate and group farm", "token and network 10.0.0.0/8"}, Keys: []string{"enwiki:*", "{cn}:*"}},
		{Client: "ops", Audience: "metrics", Actions: []access.Action{access.Get}, Alternatives: []string{"network 10.0.0.0/8"}},
		{Client: "ops", Audience: "openapi", Actions: []access.Action{access.Get}},
		{Client: "ops", Audience: "operators", Actions: []access.Action{access.Get}},
	}
	if got := p.Permissions(); !reflect.DeepEqual(got, want) {
		t.Errorf("Permissions() =\n%+v\nwant\n%+v", got, want)
	}
	if got := new(access.Policy).Permissions(); got != nil {
		t.Errorf("the zero Policy has permissions: %v", got)
	}
}
