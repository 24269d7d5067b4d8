package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"userinfo/internal/keyfile"
)

// The kinds of key that rows are sealed with. Neither is ever taken for the other.
const (
	sealKind  keyfile.Kind = "seal"
	indexKind keyfile.Kind = "index"
)

type secret = keyfile.Secret

// SealKey is what values are sealed under; Keys has several, one of which seals. The zero SealKey is of no use.
type SealKey struct{ secret }

// IndexKey is what row keys are made with. The zero IndexKey is of no use.
type IndexKey struct{ secret }

// NewSealKey makes a key from random, which must be cryptographically strong.
func NewSealKey(random io.Reader) (SealKey, error) {
	s, err := keyfile.NewSecret(random)
	return SealKey{s}, err
}

// NewIndexKey makes a key from random, which must be cryptographically strong.
func NewIndexKey(random io.Reader) (IndexKey, error) {
	s, err := keyfile.NewSecret(random)
	return IndexKey{s}, err
}

// Text is what a key file holds. It reveals the key.
func (k SealKey) Text() string { return sealKind.Text(k.secret) }

// Text is what a key file holds. It reveals the key.
func (k IndexKey) Text() string { return indexKind.Text(k.secret) }

// ParseSealKey reads what a key file holds, as keyfile.Kind has it.
func ParseSealKey(text []byte) (SealKey, error) {
	s, err := sealKind.Parse(text)
	return SealKey{s}, err
}

// ParseIndexKey reads what a key file holds, as keyfile.Kind has it.
func ParseIndexKey(text []byte) (IndexKey, error) {
	s, err := indexKind.Parse(text)
	return IndexKey{s}, err
}

// errZeroKey is what a key that was forgotten comes to.
var errZeroKey = errors.New("a key is nothing but zeros; make one with `userinfo key new`")

// KeyID tells seal keys apart. It is no secret: every sealed value carries one.
type KeyID [4]byte

// ID is derived from the key, so that no numbering can go wrong.
func (k SealKey) ID() KeyID {
	h := sha256.Sum256(append([]byte("userinfo key id"), k.secret[:]...))
	return KeyID(h[:])
}

func (id KeyID) String() string { return hex.EncodeToString(id[:]) }
