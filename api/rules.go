package api

import (
	"crypto/x509"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
)

// Rules holds everything that decides about a request and can be reloaded. A Rules is immutable: to change a rule, make
// a new Rules and let Config.Rules return it. A request uses one Rules from its start to its audit record.
type Rules struct {
	// Policy decides who a client is and what it may do. It must not be nil. The zero Policy refuses everybody.
	Policy *access.Policy
	// ClientCAs returns the names of the client CAs that issued a certificate and are in force. chains are the
	// certificate's chains, verified when the connection was made or by package forwarded. An error means that the
	// certificate is not accepted any more, for example because it was revoked.
	ClientCAs func(chains [][]*x509.Certificate) ([]string, error)
	// Authorities are the names under which clients reach the service. Without one, every request is refused.
	Authorities access.Authorities
	// Forwarded reads the headers in which trusted proxies describe their clients. It must not be nil.
	Forwarded *forwarded.Rules
	// SignatureKeys are the keys that verify signed requests, by key id.
	SignatureKeys map[string]signature.Key
	// AuditKey hashes session keys for audit records. With the zero AuditKey, records have no hash.
	AuditKey access.AuditKey
}

// signatureKey returns the key with this id.
func (r *Rules) signatureKey(id string) (signature.Key, bool) {
	key, found := r.SignatureKeys[id]
	return key, found
}
