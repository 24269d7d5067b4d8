package api

import (
	"crypto/x509"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
)

// Rules is everything that decides about a request and can be reloaded. A Rules is immutable: to change something, make
// a new one and let Config.Rules return it. A request uses the same Rules from its first check to its audit record.
type Rules struct {
	// Policy decides who a client is and what it may do. A nil Policy is not allowed; the zero Policy refuses everybody.
	Policy *access.Policy
	// ClientCAs returns the names of the client CAs that vouch for a certificate, now. chains are the certificate
	// chains that TLS verified when the connection began, or that a listed proxy forwarded and package forwarded
	// verified. An error means that the certificate is not accepted any more, for example because it was revoked.
	ClientCAs func(chains [][]*x509.Certificate) ([]string, error)
	// Forwarded reads the headers in which listed proxies describe their clients.
	Forwarded *forwarded.Rules
	// SignatureKeys are the keys that verify signed requests, by key id.
	SignatureKeys map[string]signature.Key
	// AuditKey makes the hashes of session keys in audit records. With the zero AuditKey, records have no hashes.
	AuditKey access.AuditKey
}

// signatureKey returns the key with the given id.
func (r *Rules) signatureKey(id string) (signature.Key, bool) {
	key, found := r.SignatureKeys[id]
	return key, found
}
