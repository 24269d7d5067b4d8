package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"userinfo/internal/keyfile"
)

const auditKind keyfile.Kind = "audit"

type secret = keyfile.Secret

// AuditKey makes the hashes by which audit records speak of session keys: whoever has it can tell whether a record is about
// a session key that he has, too, and nobody else can. It prints as [redacted]. The zero AuditKey hashes nothing.
type AuditKey struct{ secret }

// NewAuditKey makes a key from random, which must be cryptographically strong.
func NewAuditKey(random io.Reader) (AuditKey, error) {
	s, err := keyfile.NewSecret(random)
	return AuditKey{s}, err
}

// Text is what a key file holds. It reveals the key.
func (k AuditKey) Text() string { return auditKind.Text(k.secret) }

// ParseAuditKey reads what a key file holds, as keyfile.Kind has it.
func ParseAuditKey(text []byte) (AuditKey, error) {
	s, err := auditKind.Parse(text)
	return AuditKey{s}, err
}

// Hash names a session key in audit records; it is empty for the zero AuditKey and for no key.
//
//	8 hex digits of SHA-256("userinfo key id" key) ":" 64 hex digits of HMAC-SHA256(key, session key)
//
// The first part tells which audit key it was, for when there has been another.
func (k AuditKey) Hash(session Key) string {
	if k == (AuditKey{}) || session == "" {
		return ""
	}
	h := hmac.New(sha256.New, k.secret[:])
	_, _ = io.WriteString(h, string(session))
	return k.ID() + ":" + hex.EncodeToString(h.Sum(nil))
}

// ID tells keys apart. It is no secret.
func (k AuditKey) ID() string {
	sum := sha256.Sum256(append([]byte("userinfo key id"), k.secret[:]...))
	return hex.EncodeToString(sum[:4])
}
