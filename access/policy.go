package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"userinfo/internal/field"
)

// PolicyConfig is what a Policy is made from.
type PolicyConfig struct {
	Clients   []Client
	Audiences Audiences
	// Collections are the names of the collections. Grants may name them, metrics, openapi and operators; audiences may
	// name health as well.
	Collections []string
	// Passwords says that the resource Passwords exists.
	Passwords bool
	// ClientCAs are the names of the CAs that sign client certificates. CertificateName.CA and Credentials.ClientCAs are
	// such names.
	ClientCAs []string
	// CNVerifiers are the ClientCAs that check that a common name belongs to the holder of the certificate.
	CNVerifiers []string
	// Proxies are the trusted proxies, which forward the certificates of their clients.
	Proxies []Proxy
	// ClientDNCA is the name of the CA of Credentials.CommonName. If it is empty, a request with a CommonName is rejected.
	ClientDNCA string
	// Dev allows audiences that admit everybody.
	Dev bool
	// Now returns the time against which the validity of certificates is checked.
	Now func() time.Time
}

// DefaultClientCA is the name of the CA in tls.client_ca.
const DefaultClientCA = "client_ca"

// Policy is a checked set of clients and audiences. It never changes and is safe for concurrent use. The zero Policy denies
// everything.
type Policy struct {
	clients       []*client
	audiences     map[string]*audience
	resources     map[Grant]resource
	signatureKeys map[string]*client // by key id
	proxies       []proxy
	clientDNCA    string
	now           func() time.Time
}

// resource is what a grant applies to.
type resource struct {
	hasKeys  bool
	audience *audience // nil if it admits nobody
}

// NewPolicy checks config and returns its Policy. The error contains every mistake, each a *field.Error whose path begins
// with clients, audiences or proxies.
func NewPolicy(config PolicyConfig) (*Policy, error) {
	p := &Policy{now: config.Now, signatureKeys: make(map[string]*client), clientDNCA: config.ClientDNCA}
	var errs []error
	var err error
	if p.audiences, err = config.compileAudiences(); err != nil {
		errs = append(errs, err)
	}
	p.resources = config.resources(p.audiences)
	if len(config.Clients) == 0 {
		errs = append(errs, field.Errorf("clients", "empty, so that nobody has access; list at least one client with a grant"))
	}
	for i, in := range config.Clients {
		c, err := config.compileClient(fmt.Sprintf("clients[%d]", i), in, p.resources)
		errs = append(errs, err)
		p.clients = append(p.clients, c)
		for _, id := range c.signatureKeys {
			p.signatureKeys[id] = c
		}
	}
	for i, in := range config.Proxies {
		compiled, err := compileProxy(fmt.Sprintf("proxies.certificates[%d]", i), in, config.ClientCAs)
		errs = append(errs, err)
		p.proxies = append(p.proxies, compiled)
	}
	if config.ClientDNCA != "" && !slices.Contains(config.ClientCAs, config.ClientDNCA) {
		errs = append(errs, field.Errorf("proxies.client_dn.ca", "unknown CA; known are %s", orNone(config.ClientCAs)))
	}
	errs = append(errs, checkUnique(config.Clients), checkOverlaps(p.clients), p.checkProxies())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// IsOpen reports whether an audience admits every request, even without credentials and from an unknown address.
func (p *Policy) IsOpen(audience string) bool {
	open, err := p.audiences[audience].admits(Identity{policy: p})
	return open && err == nil
}

// NeedsKey reports whether grant is on a collection or on Passwords, whose operations need a key. For an unknown grant it
// returns an error that lists the known grants.
func (p *Policy) NeedsKey(grant Grant) (bool, error) {
	on, known := p.resources[grant]
	if !known {
		return false, fmt.Errorf("unknown grant; known are %s", list(p.resources))
	}
	return on.hasKeys, nil
}

// resources returns every possible grant with its resource.
func (config PolicyConfig) resources(audiences map[string]*audience) map[Grant]resource {
	all := map[Grant]resource{
		GrantOn(Metrics, Get):   {audience: audiences[Metrics]},
		GrantOn(OpenAPI, Get):   {audience: audiences[OpenAPI]},
		GrantOn(Operators, Get): {audience: audiences[Operators]},
	}
	if config.Passwords {
		for _, action := range PasswordActions {
			all[GrantOn(Passwords, action)] = resource{hasKeys: true, audience: audiences[Passwords]}
		}
	}
	for _, name := range config.Collections {
		for _, action := range []Action{Get, Set, Touch, Delete} {
			all[GrantOn(name, action)] = resource{hasKeys: true, audience: audiences[name]}
		}
	}
	return all
}

// list returns the grants in resources as a sorted, comma-separated list.
func list(resources map[Grant]resource) string {
	all := make([]string, 0, len(resources))
	for g := range resources {
		all = append(all, string(g))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// checkUnique rejects two clients with the same name or the same credential.
func checkUnique(clients []Client) error {
	owners := make(map[string]string)
	var errs []error
	claim := func(path, what, client string) {
		if owner, taken := owners[what]; taken {
			errs = append(errs, field.Errorf(path, "already belongs to client %q; each name and credential belongs to one client", owner))
		}
		owners[what] = client
	}
	for i, c := range clients {
		path := fmt.Sprintf("clients[%d]", i)
		claim(path+".name", "name "+c.Name, c.Name)
		for j, name := range c.Certificates {
			claim(fmt.Sprintf("%s.certificates[%d]", path, j), "ca "+name.CA+" cn "+name.CN+" san "+name.SAN, c.Name)
		}
		for j, t := range c.Tokens {
			claim(fmt.Sprintf("%s.tokens[%d].sha256", path, j), "token "+strings.ToLower(t.SHA256), c.Name)
		}
		for j, k := range c.SignatureKeys {
			claim(fmt.Sprintf("%s.signature_keys[%d].id", path, j), "key "+k.ID, c.Name)
		}
	}
	return errors.Join(errs...)
}

// checkOverlaps rejects a certificate name of one client that matches a name with stars of another client, because
// Authenticate would reject the certificate as belonging to both.
func checkOverlaps(clients []*client) error {
	var errs []error
	for i, a := range clients {
		for _, b := range clients {
			if a == b {
				continue
			}
			for j := range a.certificates {
				for k := range b.certificates {
					if b.certificates[k].overlaps(&a.certificates[j]) {
						errs = append(errs, field.Errorf(fmt.Sprintf("clients[%d].certificates[%d]", i, j),
							"also matches %q of client %q, so its certificate would be rejected; change one of the names", b.certificates[k].text, b.name))
					}
				}
			}
		}
	}
	return errors.Join(errs...)
}

// orNone returns names as a comma-separated list, or "none".
func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
