package config

import (
	"time"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
	"userinfo/api"
	"userinfo/internal/field"
	"userinfo/store"
	"userinfo/store/seal"
	"userinfo/tlsconf"
)

// Snapshot is everything that a reload can change. It never changes itself, and is safe for concurrent use.
//
// A request takes the current Rules when it begins and keeps them to its end. A TLS handshake uses one Server, a connection to
// Cassandra one Client, and an operation on a sealed row one set of keys.
type Snapshot struct {
	// Rules decide about requests. They hold the client CAs of Server.
	Rules *api.Rules
	// Server is the TLS state of the listener.
	Server *tlsconf.Server
	// Cassandra is the TLS state of connections to Cassandra; nil without Cassandra.
	Cassandra *tlsconf.Client
	// SealKeys seal rows; nil if no collection is sealed.
	SealKeys *seal.Keys
	// PasswordKeys seal passwords; nil without passwords.
	PasswordKeys *seal.Keys
	// Proxies are the networks from which PROXY protocol headers are accepted.
	Proxies *tlsconf.Proxies
	// NotBefore are the rules that end values, by the name of their collection.
	NotBefore map[string][]store.NotBefore
}

// parts are the loaded values from which a Snapshot is made. Each part is replaced as a whole.
type parts struct {
	clients       clientRules
	signatureKeys map[string]signature.Key // by key id
	auditKey      access.AuditKey          // zero without a key file
	server        *tlsconf.Server
	authorities   access.Authorities // from clients or server
	cassandra     *tlsconf.Client
	sealKeys      *seal.Keys
	passwordKeys  *seal.Keys
}

// clientRules is the part that comes from the text of the configuration file: clients, audiences, proxies, the collections'
// not_before, and the names of the files of seal and signature keys.
type clientRules struct {
	config    *Config
	policy    *access.Policy
	proxies   *tlsconf.Proxies
	notBefore map[string][]store.NotBefore // by collection
}

// newClientRules returns the rules of a checked configuration. Each error is a *field.Error.
func newClientRules(c *Config, now func() time.Time) (clientRules, error) {
	policy, err := c.Policy(now)
	if err != nil {
		return clientRules{}, err
	}
	proxies, err := c.Proxies.sources()
	if err != nil {
		return clientRules{}, err
	}
	notBefore, err := c.notBeforeRules(now())
	if err != nil {
		return clientRules{}, err
	}
	return clientRules{config: c, policy: policy, proxies: proxies, notBefore: notBefore}, nil
}

// snapshot combines the parts.
func (p parts) snapshot() (*Snapshot, error) {
	fwd, err := forwarded.NewRules(p.server.ClientVerifier(), p.clients.config.Proxies.ClientDN.Field)
	if err != nil {
		return nil, &field.Error{Path: "proxies.client_dn.field", Err: err}
	}
	return &Snapshot{
		Rules: &api.Rules{
			Policy:        p.clients.policy,
			Authorities:   p.authorities,
			ClientCAs:     p.server.VerifyChains,
			Forwarded:     fwd,
			SignatureKeys: p.signatureKeys,
			AuditKey:      p.auditKey,
		},
		Server:       p.server,
		Cassandra:    p.cassandra,
		SealKeys:     p.sealKeys,
		PasswordKeys: p.passwordKeys,
		Proxies:      p.clients.proxies,
		NotBefore:    p.clients.notBefore,
	}, nil
}
