// Package accesstest makes policies for tests of other things than access: any credential of a client opens every
// audience. No program imports it.
package accesstest

import (
	"time"

	"userinfo/access"
)

// Policy is access.Rules.Policy with such audiences for these collections, and with certificates of
// access.DefaultAuthority.
func Policy(clients []access.Client, collections []string, now func() time.Time) (*access.Policy, error) {
	yes := true
	anyCredential := []access.Alternative{{Certificate: &yes}, {Token: &yes}, {Signed: &yes}}
	audiences := access.Audiences{access.Metrics: anyCredential, access.OpenAPI: anyCredential, access.Health: {{Allow: &yes}}}
	for _, name := range collections {
		audiences[name] = anyCredential
	}
	return access.Rules{
		Clients: clients, Audiences: audiences, Collections: collections, Authorities: []string{access.DefaultAuthority}, Now: now,
	}.Policy()
}
