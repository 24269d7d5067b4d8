// Package accesstest makes access policies for the tests of other packages. The service does not import it.
package accesstest

import (
	"time"

	"userinfo/access"
)

// Policy returns a policy whose audiences admit a client with any of its credentials. Client certificates are from
// access.DefaultClientCA. Health is open to everybody. now is the clock for certificates.
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
