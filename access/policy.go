package access

import (
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"userinfo/internal/field"
)

// PolicyConfig are what a Policy is made from. The zero PolicyConfig make none.
type PolicyConfig struct {
	Clients   []Client
	Audiences Audiences
	// Collections are the names that grants and audiences may speak of, beside metrics, openapi and health.
	Collections []string
	// ClientCAs are the names of the CAs that certificates may be of, as in Credentials.
	ClientCAs []string
	// Proxies are the names of the certificates of proxies, which say who their clients are.
	Proxies []CertificateName
	// ClientDNCA is the CA that Credentials.CommonName counts for; empty where it counts for none.
	ClientDNCA string
	// Dev lets audiences be open to anybody.
	Dev bool
	// Now is the clock against which certificates expire.
	Now func() time.Time
}

// Policy is a checked set of clients and audiences. It is immutable and safe for concurrent use. The zero Policy denies
// everything.
type Policy struct {
	clients   []*client
	audiences map[string]*audience
	resources map[Grant]resource
	signers   map[string]*client // by key id
	proxies   []certificateName
	proxiedCA string
	now       func() time.Time
}

// resource is what a grant is on.
type resource struct {
	keyed    bool
	audience *audience // nil where it is closed
}

// Credentials is what is known of a request's origin before anything is believed of it.
type Credentials struct {
	// Certificate is the leaf that was verified, by TLS or, where a trusted proxy forwarded it, afterwards; nil where there
	// is none.
	Certificate *x509.Certificate
	// ClientCAs are the names of the configured CAs that the certificate is of. Without one it is not believed.
	ClientCAs []string
	// CommonName of a certificate that nobody but a trusted proxy has seen, in place of Certificate: the proxy's word.
	CommonName string
	// Authorization holds the values of all headers of that name.
	Authorization []string
	// SignatureKey is the id of the key that the request's signature was verified with; empty where it has none.
	SignatureKey string
	// Remote is the address that the request comes from: the other end of the connection, or what a trusted proxy says it
	// was. The zero address is in no network.
	Remote netip.Addr
}

// Identity is what Authenticate believes of a request. It may be of nobody: then there was no credential. The zero Identity
// is denied everywhere.
type Identity struct {
	policy *Policy
	client *client
	names  names      // of the certificate that identified the client; none where none did
	proofs protection // the credentials that proved the client
	remote netip.Addr
}

// Client is the configured name of the client, empty for nobody.
func (id Identity) Client() string {
	if id.client == nil {
		return ""
	}
	return id.client.name
}

// Limits are the client's own; those it leaves out are 0.
func (id Identity) Limits() Limits {
	if id.client == nil {
		return Limits{}
	}
	return id.client.limits
}

// AuthenticatedBy lists the credentials that proved the client.
func (id Identity) AuthenticatedBy() []string { return id.proofs.list() }

// NewPolicy checks r. Errors are field.Error, their paths beginning with clients, audiences or proxies.
func NewPolicy(r PolicyConfig) (*Policy, error) {
	p := &Policy{now: r.Now, signers: make(map[string]*client), proxiedCA: r.ClientDNCA}
	names := map[string]bool{Metrics: false, OpenAPI: false, Health: false}
	for _, name := range r.Collections {
		names[name] = true
	}
	var errs []error
	var err error
	if p.audiences, err = r.compileAudiences(names); err != nil {
		errs = append(errs, err)
	}
	p.resources = resources(r.Collections, p.audiences)
	if len(r.Clients) == 0 {
		errs = append(errs, field.Errorf("clients", "nobody may do anything; list at least one client with a grant"))
	}
	for i, in := range r.Clients {
		c, err := r.compile(fmt.Sprintf("clients[%d]", i), in, p.resources)
		errs = append(errs, err)
		p.clients = append(p.clients, c)
		for _, id := range c.signers {
			p.signers[id] = c
		}
	}
	for i, in := range r.Proxies {
		n, err := compileName(fmt.Sprintf("proxies.certificates[%d]", i), in, r.ClientCAs)
		errs = append(errs, err)
		p.proxies = append(p.proxies, n)
	}
	if r.ClientDNCA != "" && !slices.Contains(r.ClientCAs, r.ClientDNCA) {
		errs = append(errs, field.Errorf("proxies.client_dn.ca", "there is no such CA; tls.client_cas has %s", orNone(r.ClientCAs)))
	}
	errs = append(errs, unique(r.Clients), overlapping(p.clients), p.proxiesApart())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

// IsOpen tells whether anybody may come to an audience, from anywhere: then nobody need be identified.
func (p *Policy) IsOpen(name string) bool {
	anybody, err := p.audiences[name].admits(Identity{policy: p})
	return anybody && err == nil
}

// DefaultClientCA is the name of the CA in tls.client_ca, for certificates of which no CA is named.
const DefaultClientCA = "client_ca"

// resources are what there can be grants on, each with its audience.
func resources(collections []string, audiences map[string]*audience) map[Grant]resource {
	all := map[Grant]resource{
		GrantOn(Metrics, Get): {audience: audiences[Metrics]},
		GrantOn(OpenAPI, Get): {audience: audiences[OpenAPI]},
	}
	for _, name := range collections {
		for _, action := range []Action{Get, Set, Touch, Delete} {
			all[GrantOn(name, action)] = resource{keyed: true, audience: audiences[name]}
		}
	}
	return all
}

// unique refuses two clients that one credential would identify, and two of one name.
func unique(clients []Client) error {
	seen := make(map[string]string)
	var errs []error
	claim := func(path, what, name string) {
		if owner, taken := seen[what]; taken {
			errs = append(errs, field.Errorf(path, "already given to client %q", owner))
		}
		seen[what] = name
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

// overlapping refuses a name that is one client's and fits the stars of another's: its certificate would be neither's.
func overlapping(clients []*client) error {
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
							"also fits %q of client %q, so its certificate would be neither's", b.certificates[k].text, b.name))
					}
				}
			}
		}
	}
	return errors.Join(errs...)
}

// proxiesApart refuses a name that is a proxy's and a client's: a proxy is no client.
func (p *Policy) proxiesApart() error {
	var errs []error
	for i := range p.proxies {
		for _, c := range p.clients {
			for j := range c.certificates {
				mine, theirs := &p.proxies[i], &c.certificates[j]
				if mine.String() == theirs.String() || mine.overlaps(theirs) || theirs.overlaps(mine) {
					errs = append(errs, field.Errorf(fmt.Sprintf("proxies.certificates[%d]", i), "is also client %q's: a proxy speaks for clients and is none", c.name))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// IsProxy tells whether cert, of one of authorities, is that of a proxy, whose word on who its clients are is believed. It
// fails closed: as for clients, a name counts for certificates of its own CA alone, and within the certificate's dates.
func (p *Policy) IsProxy(cert *x509.Certificate, authorities []string) bool {
	if len(p.proxies) == 0 || cert == nil {
		return false
	}
	if now := p.now(); now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
		return false
	}
	for i := range p.proxies {
		if _, ok := p.proxies[i].in(cert); ok && slices.Contains(authorities, p.proxies[i].authority) {
			return true
		}
	}
	return false
}

// Authenticate tells which client evidence proves; nobody, without an error, where there is no credential of any. It fails
// closed: a certificate that is of no configured CA, not valid now or two clients', an unknown token, one used from
// outside its networks and the signature of an unknown key are ErrUnauthenticated; credentials of different clients are
// ErrConflict; unreadable ones are ErrMalformed.
func (p *Policy) Authenticate(e Credentials) (Identity, error) {
	id := Identity{policy: p, remote: e.Remote}
	bearer, err := parseBearer(e.Authorization)
	if err != nil {
		return Identity{}, err
	}
	if e.CommonName != "" {
		if e, err = p.proxied(e); err != nil {
			return Identity{}, err
		}
	}
	if e.Certificate != nil {
		if err := p.byCertificate(&id, e); err != nil {
			return Identity{}, err
		}
	}
	if bearer != "" {
		c, err := p.byToken(bearer, e.Remote)
		if err != nil {
			return Identity{}, err
		}
		if err := id.prove(c, token); err != nil {
			return Identity{}, err
		}
	}
	if e.SignatureKey != "" {
		c := p.signers[e.SignatureKey]
		if c == nil {
			return Identity{}, fmt.Errorf("%w: the key of the signature is no client's", ErrUnauthenticated)
		}
		if err := id.prove(c, signed); err != nil {
			return Identity{}, err
		}
	}
	return id, nil
}

// proxied has the certificate that e.CommonName is of stand in e, as far as anything is known of it. It fails closed: where no
// CA is said to be its own, it is of none, and beside a certificate it is a conflict.
func (p *Policy) proxied(e Credentials) (Credentials, error) {
	if e.Certificate != nil {
		return e, ErrConflict
	}
	now := p.now()
	e.Certificate = &x509.Certificate{Subject: pkix.Name{CommonName: e.CommonName}, NotBefore: now, NotAfter: now.Add(time.Minute)}
	if e.ClientCAs = nil; p.proxiedCA != "" {
		e.ClientCAs = []string{p.proxiedCA}
	}
	return e, nil
}

// prove adds a credential of c's. It fails closed: one of another client than before is ErrConflict.
func (id *Identity) prove(c *client, by protection) error {
	if id.client != nil && id.client != c {
		return ErrConflict
	}
	id.client = c
	id.proofs |= by
	return nil
}

// byCertificate finds the one client that the certificate belongs to; nobody where it is no client's. Whoever verified
// it checked the dates then, which may be long ago.
func (p *Policy) byCertificate(id *Identity, e Credentials) error {
	cert := e.Certificate
	if now := p.now(); now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
		return fmt.Errorf("%w: the client's certificate is not valid now", ErrUnauthenticated)
	}
	if len(e.ClientCAs) == 0 {
		return fmt.Errorf("%w: the client's certificate is of no CA that is trusted now", ErrUnauthenticated)
	}
	for _, c := range p.clients {
		of, ok := c.presents(cert, e.ClientCAs)
		if !ok {
			continue
		}
		if id.client != nil {
			return fmt.Errorf("%w: the certificate's names belong to clients %q and %q", ErrUnauthenticated, id.client.name, c.name)
		}
		id.client, id.names, id.proofs = c, of, certificate
	}
	return nil
}

// presents tells whether cert, of one of authorities, is one of the client's, and what key patterns may know of it. It
// fails closed: a name counts for certificates of its own CA alone.
func (c *client) presents(cert *x509.Certificate, authorities []string) (names, bool) {
	for i := range c.certificates {
		n := &c.certificates[i]
		if !slices.Contains(authorities, n.authority) {
			continue
		}
		if stars, ok := n.in(cert); ok {
			return names{common: cert.Subject.CommonName, stars: stars}, true
		}
	}
	return names{}, false
}

// byToken compares in constant time with every token there is, so that the time taken tells nothing about any.
// A token from outside its networks is answered as an unknown one: a thief learns nothing from it.
func (p *Policy) byToken(t Token, remote netip.Addr) (*client, error) {
	hash := t.Hash()
	var found *client
	for _, c := range p.clients {
		for i := range c.tokens {
			rule := &c.tokens[i]
			if subtle.ConstantTimeCompare(hash[:], rule.hash[:]) == 1 && (len(rule.networks) == 0 || contains(rule.networks, remote)) {
				found = c
			}
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: unknown token, or not from this network", ErrUnauthenticated)
	}
	return found, nil
}
