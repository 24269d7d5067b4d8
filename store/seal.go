package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"userinfo/access"
)

// Keys are what rows are sealed with. The seal keys can be replaced while operations go on.
//
// The index key stays for as long as the table does. Rows would no longer be found under another one, and, worse,
// neither would the deletes and fences of sessions that are to stay deleted. There is little need: what a leaked
// index key allows is to test guesses of session keys, and those have 128 random bits or more.
type Keys struct {
	index secret
	rows  *macs                     // under index
	seals atomic.Pointer[[]sealKey] // the first seals, all open; never empty
}

// sealKey is a SealKey made ready.
type sealKey struct {
	id   KeyID
	prk  []byte // of HKDF-Extract without salt: RFC 5869, section 2.2
	macs *macs  // under prk
}

// NewKeys seals with the first of seals and opens with all. Keys that are the same, or cannot be told apart by their
// ids, are an error.
func NewKeys(index IndexKey, seals []SealKey) (*Keys, error) {
	if index.secret == (secret{}) {
		return nil, errZeroKey
	}
	k := &Keys{index: index.secret, rows: newMACs(index.secret[:])}
	ready, err := makeReady(seals)
	if err != nil {
		return nil, err
	}
	k.seals.Store(&ready)
	return k, nil
}

// Rotate puts other seal keys in force, all at once; on an error those in force stay. index must be the same as before.
func (k *Keys) Rotate(index IndexKey, seals []SealKey) (changed bool, err error) {
	if !hmac.Equal(index.secret[:], k.index[:]) {
		return false, errors.New("the index key is another one, under which no row would be found; put the former one back")
	}
	ready, err := makeReady(seals)
	if err != nil {
		return false, err
	}
	same := func(a, b sealKey) bool { return a.id == b.id && bytes.Equal(a.prk, b.prk) }
	if slices.EqualFunc(ready, *k.seals.Load(), same) {
		return false, nil
	}
	k.seals.Store(&ready)
	return true, nil
}

// IDs are those of the seal keys in force; the first seals.
func (k *Keys) IDs() []string {
	var ids []string
	for _, s := range *k.seals.Load() {
		ids = append(ids, s.id.String())
	}
	return ids
}

// Format keeps keys out of logs and errors, whatever the verb.
func (*Keys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

func makeReady(seals []SealKey) ([]sealKey, error) {
	if len(seals) == 0 {
		return nil, errors.New("there is no seal key; give at least one")
	}
	ready := make([]sealKey, 0, len(seals))
	for i, s := range seals {
		if s.secret == (secret{}) {
			return nil, errZeroKey
		}
		id := s.ID()
		if j := slices.IndexFunc(ready, func(r sealKey) bool { return r.id == id }); j >= 0 {
			return nil, fmt.Errorf("seal keys %d and %d are the same, or have the same id; remove one, or make another", j+1, i+1)
		}
		prk, err := hkdf.Extract(sha256.New, s.secret[:], nil)
		if err != nil {
			return nil, fmt.Errorf("preparing a seal key: %w", err)
		}
		ready = append(ready, sealKey{id, prk, newMACs(prk)})
	}
	return ready, nil
}

// A sealed value. What is not kept in it is needed to open it: collection, row key and session key.
//
//	offset  bytes
//	     0      1   version: 1
//	     1      4   id of the seal key: the first bytes of SHA-256("userinfo key id" ‖ seal key)
//	     5     12   nonce: random, for each seal
//	    17      n   ciphertext, as long as the value   ┐ AES-256-GCM
//	  17+n     16   tag                                ┘
//
//	key of AES        = HKDF-SHA256(seal key, no salt, version ‖ collection ‖ 0 ‖ session key), 32 bytes
//	associated data   = version ‖ id ‖ collection ‖ 0 ‖ row key
//	row key           = HMAC-SHA256(index key, collection ‖ 0 ‖ session key), 32 bytes
//
// No collection has a 0 in its name, and what follows it goes to the end, so each of these can be read in one way only.
// A session key has an AES key of its own, so random nonces would meet only after some 2^48 writes of one session.
const (
	sealVersion = 1
	idEnd       = 1 + 4
	nonceEnd    = idEnd + 12
	tagBytes    = 16
)

// place is where a value is, which is what seals it as much as the keys do.
type place struct {
	collection string
	key        access.Key // the session's
	row        access.Key // the row's
}

// place says where key's row is in a collection.
func (k *Keys) place(collection string, key access.Key) place {
	m := k.rows.take()
	defer k.rows.put(m)
	m.write(nil, collection, key)
	return place{collection, key, access.Key(m.digest())}
}

// seal seals data for one place, with a nonce from random.
func (k *Keys) seal(random io.Reader, p place, data []byte) ([]byte, error) {
	with := (*k.seals.Load())[0]
	sealed := make([]byte, nonceEnd, nonceEnd+len(data)+tagBytes)
	sealed[0] = sealVersion
	copy(sealed[1:], with.id[:])
	if _, err := io.ReadFull(random, sealed[idEnd:nonceEnd]); err != nil {
		return nil, fmt.Errorf("reading randomness for a nonce: %w", err)
	}
	m := with.macs.take()
	defer with.macs.put(m)
	aead, err := m.aead(p)
	if err != nil {
		return nil, err
	}
	return aead.Seal(sealed, sealed[idEnd:nonceEnd], data, m.associated(p, sealed)), nil
}

// Why a value could not be opened. Each wraps ErrSealed.
var (
	errFormat  = fmt.Errorf("%w: it is too short, or of a version that this program does not know", ErrSealed)
	errKey     = fmt.Errorf("%w: its seal key is not in force", ErrSealed)
	errDamaged = fmt.Errorf("%w: it was changed, or put here from another row", ErrSealed)
)

// open gives the value back, in the memory of sealed, and tells whether another key than the first has sealed it. It
// fails closed: an error comes with no value.
func (k *Keys) open(p place, sealed []byte) (data []byte, older bool, err error) {
	if len(sealed) < nonceEnd+tagBytes || sealed[0] != sealVersion {
		return nil, false, errFormat
	}
	seals := *k.seals.Load()
	i := slices.IndexFunc(seals, func(s sealKey) bool { return s.id == KeyID(sealed[1:idEnd]) })
	if i < 0 {
		return nil, false, fmt.Errorf("%w: put the one with the id %s back into seal.keys", errKey, KeyID(sealed[1:idEnd]))
	}
	m := seals[i].macs.take()
	defer seals[i].macs.put(m)
	aead, err := m.aead(p)
	if err != nil {
		return nil, false, err
	}
	// An empty value is not nil, which would be no value.
	if data, err = aead.Open(sealed[nonceEnd:nonceEnd], sealed[idEnd:nonceEnd], sealed[nonceEnd:], m.associated(p, sealed)); err != nil {
		return nil, false, errDamaged
	}
	return data, i > 0, nil
}

// aead is the cipher of one place; m is under the seal key's prk. An AES key is as long as a digest, so that HKDF-Expand
// (RFC 5869, section 2.3) is its first block alone: HMAC(prk, info ‖ 1).
func (m *mac) aead(p place) (cipher.AEAD, error) {
	m.write([]byte{sealVersion}, p.collection, p.key)
	m.text = append(m.text, 1)
	block, err := aes.NewCipher(m.digest())
	if err != nil {
		return nil, fmt.Errorf("deriving a value's key: %w", err)
	}
	return cipher.NewGCM(block)
}

// associated is the data that is authenticated with the value, good until m is used again; sealed begins with version
// and id.
func (m *mac) associated(p place, sealed []byte) []byte {
	m.write(sealed[:idEnd], p.collection, p.row)
	return m.text
}
