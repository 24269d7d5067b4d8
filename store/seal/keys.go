package seal

import (
	"errors"
	"fmt"
	"slices"
)

// Keys is an immutable set of keys: one IndexKey and one or more SealKeys. The first SealKey encrypts new values; all of
// them decrypt. Keys is safe for concurrent use and prints as [redacted].
//
// SealKeys can be rotated: Replace returns the next set. The IndexKey cannot. With another IndexKey, no session would be
// found. The markers of deletes would not be found either, so a late Set could restore a deleted session. There is little
// need to rotate it, because a leaked IndexKey only lets somebody test guesses of session keys, which have at least 128
// random bits.
type Keys struct {
	index secret
	seals []expandedKey // the first encrypts; never empty
}

// expandedKey is a SealKey and what HKDF extracts from it.
type expandedKey struct {
	key SealKey
	id  KeyID
	prk secret
}

// NewKeys returns a set of keys. The first of seals encrypts. It returns an error if a key is zero, if seals is empty, or
// if two seal keys have the same id.
func NewKeys(index IndexKey, seals []SealKey) (*Keys, error) {
	if index.secret == (secret{}) {
		return nil, errZeroKey
	}
	expanded, err := expand(seals)
	if err != nil {
		return nil, err
	}
	return &Keys{index: index.secret, seals: expanded}, nil
}

// Replace returns the set of keys that follows k after a rotation of the seal keys. It returns k itself if nothing
// changed. It fails closed: if index is not the IndexKey of k, or the keys are invalid, it returns an error, and k should
// stay in use.
func (k *Keys) Replace(index IndexKey, seals []SealKey) (*Keys, error) {
	if index.secret != k.index {
		return nil, errors.New("the index key has changed: no row would be found with it; restore the previous index key")
	}
	if slices.EqualFunc(k.seals, seals, func(e expandedKey, s SealKey) bool { return e.key == s }) {
		return k, nil
	}
	return NewKeys(index, seals)
}

// IDs returns the ids of the seal keys. The first one encrypts.
func (k *Keys) IDs() []string {
	var ids []string
	for _, s := range k.seals {
		ids = append(ids, s.id.String())
	}
	return ids
}

// Format keeps keys out of logs and errors. It implements fmt.Formatter for every verb.
func (Keys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

func expand(seals []SealKey) ([]expandedKey, error) {
	if len(seals) == 0 {
		return nil, errors.New("there is no seal key; configure at least one")
	}
	expanded := make([]expandedKey, 0, len(seals))
	for i, s := range seals {
		if s.secret == (secret{}) {
			return nil, errZeroKey
		}
		id := s.ID()
		if j := slices.IndexFunc(expanded, func(e expandedKey) bool { return e.id == id }); j >= 0 {
			return nil, fmt.Errorf("seal keys %d and %d are equal, or have the same id; remove or replace one of them", j+1, i+1)
		}
		expanded = append(expanded, expandedKey{s, id, s.Extract()})
	}
	return expanded, nil
}
