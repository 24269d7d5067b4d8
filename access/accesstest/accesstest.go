// Package accesstest makes policies for tests of other things than access: any credential of a client opens every
// audience. No program imports it.
package accesstest

import (
	"time"

	"userinfo/access"
)

// Policy is access.PolicyConfig.Policy with such audiences for these collections, and with certificates of
// access.DefaultClientCA.
func Policy(clients []access.Client, collections []string, now func() time.Time) (*access.Policy, error) {
	yes := true
	anyCredential := []access.Alternative{{Certificate: &yes}, {Token: &yes}, {Signed: &yes}}
	audiences := access.Audiences{access.Metrics: anyCredential, access.OpenAPI: anyCredential, access.Health: {{Allow: &yes}}}
	for _, name := range collections {
		audiences[name] = anyCredential
	}
	return access.NewPolicy(access.PolicyConfig{
		Clients: clients, Audiences: audiences, Collections: collections, ClientCAs: []string{access.DefaultClientCA}, Now: now,
	})

}
