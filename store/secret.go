package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// What key files begin with, so that neither kind of key is ever taken for the other. The 1 is the file's format.
const (
	sealKeyPrefix  = "userinfo-seal-key-1:"
	indexKeyPrefix = "userinfo-index-key-1:"
)

// secretBytes is the size of either kind of key.
const secretBytes = 32

// secret prints as [redacted] wherever fmt, slog or JSON can ask it. A struct with one in an unexported field needs a
// Format of its own: fmt does not ask there.
type secret [secretBytes]byte

func (secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte("[redacted]")) }
func (secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// SealKey is what values are sealed under; Keys has several, one of which seals. The zero SealKey is of no use.
type SealKey struct{ secret }

// IndexKey is what row keys are made with. The zero IndexKey is of no use.
type IndexKey struct{ secret }

// NewSealKey makes a key from random, which must be cryptographically strong.
func NewSealKey(random io.Reader) (SealKey, error) {
	s, err := newSecret(random)
	return SealKey{s}, err
}

// NewIndexKey makes a key from random, which must be cryptographically strong.
func NewIndexKey(random io.Reader) (IndexKey, error) {
	s, err := newSecret(random)
	return IndexKey{s}, err
}

func newSecret(random io.Reader) (s secret, err error) {
	if _, err := io.ReadFull(random, s[:]); err != nil {
		return secret{}, fmt.Errorf("reading randomness for a key: %w", err)
	}
	return s, nil
}

// Text is what a key file holds. It reveals the key.
func (k SealKey) Text() string { return sealKeyPrefix + base64.StdEncoding.EncodeToString(k.secret[:]) }

// Text is what a key file holds. It reveals the key.
func (k IndexKey) Text() string {
	return indexKeyPrefix + base64.StdEncoding.EncodeToString(k.secret[:])
}

// ParseSealKey reads what a key file holds: the key's Text and, perhaps, a line end. Its errors quote nothing of it.
func ParseSealKey(text []byte) (SealKey, error) {
	s, err := parseSecret(text, sealKeyPrefix, "seal")
	return SealKey{s}, err
}

// ParseIndexKey reads what a key file holds: the key's Text and, perhaps, a line end. Its errors quote nothing of it.
func ParseIndexKey(text []byte) (IndexKey, error) {
	s, err := parseSecret(text, indexKeyPrefix, "index")
	return IndexKey{s}, err
}

// parseSecret fails closed: whatever is not exactly one key of the kind is none.
func parseSecret(text []byte, prefix, kind string) (secret, error) {
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	encoded, ok := strings.CutPrefix(line, prefix)
	if !ok && (strings.HasPrefix(line, sealKeyPrefix) || strings.HasPrefix(line, indexKeyPrefix)) {
		return secret{}, fmt.Errorf("the file holds the other kind of key; name one that `userinfo key new %s` has made", kind)
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	// The decoder skips line ends.
	if !ok || err != nil || len(decoded) != secretBytes || strings.ContainsAny(encoded, "\r\n") {
		return secret{}, fmt.Errorf("the file does not hold one %s key and nothing else, as `userinfo key new %s` prints it", kind, kind)
	}
	return secret(decoded), nil
}

// errZeroKey is also what a key that was forgotten comes to.
var errZeroKey = errors.New("a key is nothing but zeros; make one with `userinfo key new`")

// KeyID tells seal keys apart. It is no secret: every sealed value carries one.
type KeyID [4]byte

// ID is derived from the key, so that no numbering can go wrong.
func (k SealKey) ID() KeyID {
	h := sha256.Sum256(append([]byte("userinfo key id"), k.secret[:]...))
	return KeyID(h[:])
}

func (id KeyID) String() string { return hex.EncodeToString(id[:]) }
