package access

import (
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"userinfo/internal/field"
)

// Policy is a checked set of clients. It is immutable and safe for concurrent use.
type Policy struct {
	clients []*client
	now     func() time.Time
}

// Evidence is what is known of a request's origin before anything is believed of it.
type Evidence struct {
	// Certificate is the leaf that TLS verified against the configured CA; nil when the client sent none.
	Certificate *x509.Certificate
	// Authorization holds the values of all headers of that name.
	Authorization []string
	// Remote is the address at the other end of the connection.
	Remote netip.Addr
}

// Identity is a client that proved who it is. The zero Identity is nobody.
type Identity struct {
	client     *client
	commonName string // of the certificate that identified the client; empty where a token did
}

// Client is the configured name of the client, empty for nobody.
func (id Identity) Client() string {
	if id.client == nil {
		return ""
	}
	return id.client.name
}

// NewPolicy checks clients. collections are the names that grants may speak of. now is the clock against which
// certificates expire. Errors are field.Error, their paths beginning with clients.
func NewPolicy(clients []Client, collections []string, now func() time.Time) (*Policy, error) {
	if len(clients) == 0 {
		return nil, field.Errorf("clients", "nobody may do anything; list at least one client with a grant")
	}
	known := knownGrants(collections)
	p := &Policy{now: now}
	var errs []error
	for i, in := range clients {
		c, err := compile(fmt.Sprintf("clients[%d]", i), in, known)
		errs = append(errs, err)
		p.clients = append(p.clients, c)
	}
	errs = append(errs, unique(clients))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

func knownGrants(collections []string) map[Grant]bool {
	known := map[Grant]bool{GrantOn(Metrics, Get): false, GrantOn(OpenAPI, Get): false}
	for _, name := range collections {
		for _, action := range []Action{Get, Set, Touch, Delete} {
			known[GrantOn(name, action)] = true
		}
	}
	return known
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
			claim(fmt.Sprintf("%s.certificates[%d]", path, j), "cn "+name.CN+" san "+name.SAN, c.Name)
		}
		for j, t := range c.Tokens {
			claim(fmt.Sprintf("%s.tokens[%d].sha256", path, j), "token "+strings.ToLower(t.SHA256), c.Name)
		}
	}
	return errors.Join(errs...)
}

// Identify tells which client evidence proves. It fails closed: no evidence, a certificate that is no client's
// without a token, one that is expired or two clients', an unknown token, and a token used from outside its networks
// are ErrUnidentified; a certificate of one client with a token of another is ErrConflict; unreadable credentials are
// ErrMalformed.
func (p *Policy) Identify(e Evidence) (Identity, error) {
	token, err := parseBearer(e.Authorization)
	if err != nil {
		return Identity{}, err
	}
	var byCertificate, byToken Identity
	if e.Certificate != nil {
		if byCertificate, err = p.byCertificate(e.Certificate); err != nil {
			return Identity{}, err
		}
	}
	if token != "" {
		if byToken, err = p.byToken(token, e.Remote); err != nil {
			return Identity{}, err
		}
	}
	switch {
	case byCertificate.client == nil && byToken.client == nil:
		return Identity{}, fmt.Errorf("%w: no certificate of a known client and no token", ErrUnidentified)
	case byToken.client == nil, byCertificate.client == byToken.client:
		return byCertificate, nil
	case byCertificate.client == nil:
		return byToken, nil
	}
	return Identity{}, ErrConflict
}

// byCertificate finds the one client that cert belongs to; nobody where it is no client's. TLS checked the dates
// when the connection began, which may be long ago.
func (p *Policy) byCertificate(cert *x509.Certificate) (Identity, error) {
	if now := p.now(); now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
		return Identity{}, fmt.Errorf("%w: the client's certificate is not valid now", ErrUnidentified)
	}
	var found Identity
	for _, c := range p.clients {
		if !c.presents(cert) {
			continue
		}
		if found.client != nil {
			return Identity{}, fmt.Errorf("%w: the certificate's names belong to clients %q and %q", ErrUnidentified, found.client.name, c.name)
		}
		found = Identity{client: c, commonName: cert.Subject.CommonName}
	}
	return found, nil
}

// byToken compares in constant time with every token there is, so that the time taken tells nothing about any.
// A token from outside its networks is answered as an unknown one: a thief learns nothing from it.
func (p *Policy) byToken(token Token, remote netip.Addr) (Identity, error) {
	hash := token.Hash()
	var found Identity
	for _, c := range p.clients {
		for i := range c.tokens {
			if subtle.ConstantTimeCompare(hash[:], c.tokens[i].hash[:]) == 1 && within(remote, c.tokens[i].networks) {
				found = Identity{client: c}
			}
		}
	}
	if found.client == nil {
		return Identity{}, fmt.Errorf("%w: unknown token, or not from this network", ErrUnidentified)
	}
	return found, nil
}

// within tells whether addr is in one of networks. No networks means no restriction; it fails closed where there
// is one and the address is not known.
func within(addr netip.Addr, networks []netip.Prefix) bool {
	if len(networks) == 0 {
		return true
	}
	addr = addr.Unmap()
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
