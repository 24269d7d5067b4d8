// Package accesstest makes access policies for the tests of other packages. The service does not import it.
package accesstest

import (
	"time"

	"userinfo/access"
)

// Policy returns a policy whose audiences admit a client with any of its credentials. Client certificates are from
// access.DefaultClientCA, which verifies common names. Health is open to everybody. now is the clock for certificates.
func Policy(clients []access.Client, collections []string, now func() time.Time) (*access.Policy, error) {
	yes := true
	anyCredential := []access.Alternative{{Certificate: &yes}, {Token: &yes}, {Signed: &yes}}
	audiences := access.Audiences{access.Metrics: anyCredential, access.OpenAPI: anyCredential, access.Operators: anyCredential, access.Health: {{Allow: &yes}}}
	for _, name := range collections {
		audiences[name] = anyCredential
	}
	return access.NewPolicy(access.PolicyConfig{
		Clients: clients, Audiences: audiences, Collections: collections, ClientCAs: []string{access.DefaultClientCA}, CNVerifiers: []string{access.DefaultClientCA}, Now: now,
	})
}

// Caller returns a Caller of a client that may do everything in a collection.
func Caller(client, collection string, action access.Action, key access.Key) (access.Caller, error) {
	const token access.Token = "a-token-of-this-test"
	var grants []access.Grant
	for _, each := range []access.Action{access.Get, access.Set, access.Touch, access.Delete} {
		grants = append(grants, access.GrantOn(collection, each))
	}
	policy, err := Policy([]access.Client{{
		Name: client, Tokens: []access.TokenRule{{SHA256: token.HashText()}}, Keys: []string{"*"}, Grants: grants,
	}}, []string{collection}, time.Now)
	if err != nil {
		return access.Caller{}, err
	}
	id, err := policy.Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(token)}})
	if err != nil {
		return access.Caller{}, err
	}
	return access.Authorize(id, access.GrantOn(collection, action), key)
}

// PasswordCaller returns a Caller of a client that may do everything with passwords.
func PasswordCaller(client string, action access.Action, user access.Key) (access.Caller, error) {
	const token access.Token = "a-token-of-this-test"
	var grants []access.Grant
	for _, each := range access.PasswordActions {
		grants = append(grants, access.GrantOn(access.Passwords, each))
	}
	yes := true
	policy, err := access.NewPolicy(access.PolicyConfig{
		Clients:   []access.Client{{Name: client, Tokens: []access.TokenRule{{SHA256: token.HashText()}}, Keys: []string{"*"}, Grants: grants}},
		Audiences: access.Audiences{access.Passwords: {{Token: &yes}}}, Passwords: true, Now: time.Now,
	})
	if err != nil {
		return access.Caller{}, err
	}
	id, err := policy.Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(token)}})
	if err != nil {
		return access.Caller{}, err
	}
	return access.Authorize(id, access.GrantOn(access.Passwords, action), user)
}
