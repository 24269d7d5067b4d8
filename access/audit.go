package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// auditKeyPrefix begins a key's file, so that no other kind of key is taken for it. The 1 is the file's format.
const auditKeyPrefix = "userinfo-audit-key-1:"

const auditKeyBytes = 32

// AuditKey makes the hashes by which audit records speak of session keys: whoever has it can tell whether a record is about
// a session key that he has, too, and nobody else can. It prints as [redacted]. The zero AuditKey hashes nothing.
type AuditKey struct{ bytes [auditKeyBytes]byte }

func (AuditKey) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (AuditKey) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (AuditKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// NewAuditKey makes a key from random, which must be cryptographically strong.
func NewAuditKey(random io.Reader) (k AuditKey, err error) {
	if _, err := io.ReadFull(random, k.bytes[:]); err != nil {
		return AuditKey{}, fmt.Errorf("reading randomness for a key: %w", err)
	}
	return k, nil
}

// Text is what a key file holds. It reveals the key.
func (k AuditKey) Text() string {
	return auditKeyPrefix + base64.StdEncoding.EncodeToString(k.bytes[:])
}

// ParseAuditKey reads what a key file holds: the key's Text and, perhaps, a line end. It fails closed: whatever is not
// exactly one key is none. Its errors quote nothing of it.
func ParseAuditKey(text []byte) (AuditKey, error) {
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	encoded, ok := strings.CutPrefix(line, auditKeyPrefix)
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(decoded) != auditKeyBytes || strings.ContainsAny(encoded, "\r\n") { // the decoder skips line ends
		return AuditKey{}, errors.New("the file does not hold one audit key and nothing else, as `userinfo key new audit` prints it")
	}
	k := AuditKey{[auditKeyBytes]byte(decoded)}
	if k == (AuditKey{}) {
		return AuditKey{}, errors.New("the key is nothing but zeros; make one with `userinfo key new audit`")
	}
	return k, nil
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
	h := hmac.New(sha256.New, k.bytes[:])
	_, _ = io.WriteString(h, string(session))
	return k.ID() + ":" + hex.EncodeToString(h.Sum(nil))
}

// ID tells keys apart. It is no secret.
func (k AuditKey) ID() string {
	sum := sha256.Sum256(append([]byte("userinfo key id"), k.bytes[:]...))
	return hex.EncodeToString(sum[:4])
}
