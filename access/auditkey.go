package access

import (
	"encoding/hex"
	"io"

	"userinfo/internal/keyfile"
)

const auditKind keyfile.Kind = "audit"

type secret = keyfile.Secret

// AuditKey hashes session keys for audit records. Only somebody who has both the AuditKey and a session key can find the
// records of that session key. It prints as [redacted]. The zero AuditKey hashes nothing.
type AuditKey struct{ secret }

// NewAuditKey returns a new key. random must be cryptographically secure.
func NewAuditKey(random io.Reader) (AuditKey, error) {
	s, err := keyfile.NewSecret(random)
	return AuditKey{s}, err
}

// Text returns the contents of the key's file. It reveals the key.
func (k AuditKey) Text() string { return auditKind.Text(k.secret) }

// ParseAuditKey parses the contents of a key file, as Text returns them. Errors contain nothing of the text.
func ParseAuditKey(text []byte) (AuditKey, error) {
	s, err := auditKind.Parse(text)
	return AuditKey{s}, err
}

// Hash returns what audit records contain in place of a session key. It returns "" for the zero AuditKey and for an empty
// session key.
//
//	8 hex digits of SHA-256("userinfo key id" ‖ key) ":" 64 hex digits of HMAC-SHA256(key, session key)
//
// The first part is ID, so that records made with different audit keys can be told apart.
func (k AuditKey) Hash(session Key) string {
	if k == (AuditKey{}) || session == "" {
		return ""
	}
	h := k.secret.MAC()
	_, _ = io.WriteString(h, string(session))
	return k.ID() + ":" + hex.EncodeToString(h.Sum(nil))
}

// ID returns 8 hexadecimal digits that identify the key. It is not secret.
func (k AuditKey) ID() string {
	id := k.secret.ID()
	return hex.EncodeToString(id[:])
}
