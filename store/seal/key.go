package seal

import (
	"encoding/hex"
	"errors"
	"io"

	"userinfo/internal/keyfile"
)

// The kinds of key file. A file of one kind is never accepted as the other.
const (
	sealKind  keyfile.Kind = "seal"
	indexKind keyfile.Kind = "index"
)

type secret = keyfile.Secret

// SealKey encrypts values. The zero SealKey is invalid. It prints as [redacted].
type SealKey struct{ secret }

// IndexKey hashes session keys into row keys. The zero IndexKey is invalid. It prints as [redacted].
type IndexKey struct{ secret }

// errZeroKey is returned for a key that was never set.
var errZeroKey = errors.New("the key consists of zeros only; make a key with `userinfo key new`")

// NewSealKey returns a new key from random, which must be cryptographically secure.
func NewSealKey(random io.Reader) (SealKey, error) {
	s, err := keyfile.NewSecret(random)
	return SealKey{s}, err
}

// NewIndexKey returns a new key from random, which must be cryptographically secure.
func NewIndexKey(random io.Reader) (IndexKey, error) {
	s, err := keyfile.NewSecret(random)
	return IndexKey{s}, err
}

// ParseSealKey parses the contents of a key file; see package keyfile for the format. Its errors do not contain the
// input.
func ParseSealKey(text []byte) (SealKey, error) {
	s, err := sealKind.Parse(text)
	return SealKey{s}, err
}

// ParseIndexKey parses the contents of a key file; see package keyfile for the format. Its errors do not contain the
// input.
func ParseIndexKey(text []byte) (IndexKey, error) {
	s, err := indexKind.Parse(text)
	return IndexKey{s}, err
}

// Text returns the contents of a key file, without a line end. It reveals the key.
func (k SealKey) Text() string { return sealKind.Text(k.secret) }

// Text returns the contents of a key file, without a line end. It reveals the key.
func (k IndexKey) Text() string { return indexKind.Text(k.secret) }

// KeyID identifies a SealKey. It is not secret: every sealed value contains one.
type KeyID [4]byte

// ID returns the first 4 bytes of SHA-256("userinfo key id" ‖ key). It is derived from the key, so two instances always
// agree on it.
func (k SealKey) ID() KeyID { return KeyID(k.secret.ID()) }

// String returns the id in hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }
