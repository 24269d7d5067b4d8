package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
	"slices"

	"userinfo/access"
	"userinfo/store"
)

// The format of a sealed value. To open it, a reader also needs the collection, the row key and the session key; none of
// them can be read from the value.
//
//	offset  bytes
//	     0      1   version: 1
//	     1      4   KeyID of the seal key
//	     5     12   nonce: random for every seal
//	    17      n   ciphertext, as long as the value   ┐ AES-256-GCM
//	  17+n     16   tag                                ┘
//
//	AES key          = HKDF-SHA256(seal key, no salt, version ‖ collection ‖ 0 ‖ session key), 32 bytes
//	associated data  = version ‖ key id ‖ collection ‖ 0 ‖ row key
//	row key          = HMAC-SHA256(index key, collection ‖ 0 ‖ session key), 32 bytes
//
// Each of these inputs can be parsed in only one way, because a collection's name contains no 0 byte and everything after
// the 0 belongs to the key.
//
// Random nonces are safe here: every session key has its own AES key, so two nonces would collide only after about 2^48
// writes of one session.
const (
	sealVersion = 1
	idEnd       = 1 + 4
	nonceEnd    = idEnd + 12
	tagBytes    = 16
)

// rowLocation says where a value is stored. A value opens only at the location for which it was sealed.
type rowLocation struct {
	collection string
	sessionKey access.Key
	rowKey     access.Key
}

// locate returns the location of a session key's row in a collection.
func (k *Keys) locate(collection string, key access.Key) rowLocation {
	mac := k.index.MAC()
	mac.Write(bind(nil, collection, key))
	return rowLocation{collection, key, access.Key(mac.Sum(nil))}
}

// bind returns prefix ‖ collection ‖ 0 ‖ key.
func bind(prefix []byte, collection string, key access.Key) []byte {
	bound := make([]byte, 0, len(prefix)+len(collection)+1+len(key))
	bound = append(bound, prefix...)
	bound = append(bound, collection...)
	bound = append(bound, 0)
	return append(bound, key...)
}

// seal encrypts data for a location, with the first seal key and a nonce from random.
func (k *Keys) seal(random io.Reader, l rowLocation, data []byte) ([]byte, error) {
	key := k.seals[0]
	sealed := make([]byte, nonceEnd, nonceEnd+len(data)+tagBytes)
	sealed[0] = sealVersion
	copy(sealed[1:], key.id[:])
	nonce := sealed[idEnd:nonceEnd]
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, fmt.Errorf("reading random bytes for a nonce: %w", err)
	}
	aead, err := key.aead(l)
	if err != nil {
		return nil, err
	}
	return aead.Seal(sealed, nonce, data, bind(sealed[:idEnd], l.collection, l.rowKey)), nil
}

// The reasons why a value cannot be opened. Each wraps store.ErrSealed.
var (
	errFormat  = fmt.Errorf("%w: it is too short, or has a version that this program does not support", store.ErrSealed)
	errKey     = fmt.Errorf("%w: its seal key is not configured", store.ErrSealed)
	errDamaged = fmt.Errorf("%w: it was modified, or copied from another row", store.ErrSealed)
)

// open decrypts a sealed value of a location. It overwrites sealed and returns a part of it. oldKey reports whether the
// value was sealed with a key other than the first. open fails closed: data is nil if err is not.
func (k *Keys) open(l rowLocation, sealed []byte) (data []byte, oldKey bool, err error) {
	if len(sealed) < nonceEnd+tagBytes || sealed[0] != sealVersion {
		return nil, false, errFormat
	}
	id := KeyID(sealed[1:idEnd])
	i := slices.IndexFunc(k.seals, func(e expandedKey) bool { return e.id == id })
	if i < 0 {
		return nil, false, fmt.Errorf("%w: add the key with id %s to seal.keys again", errKey, id)
	}
	aead, err := k.seals[i].aead(l)
	if err != nil {
		return nil, false, err
	}
	header, nonce, ciphertext := sealed[:idEnd], sealed[idEnd:nonceEnd], sealed[nonceEnd:]
	// Decrypt in place. The result of an empty value must not be nil, because nil means that there is no value.
	if data, err = aead.Open(ciphertext[:0], nonce, ciphertext, bind(header, l.collection, l.rowKey)); err != nil {
		return nil, false, errDamaged
	}
	return data, i > 0, nil
}

// aead returns the cipher for one location.
func (e expandedKey) aead(l rowLocation) (cipher.AEAD, error) {
	key := e.prk.Expand(bind([]byte{sealVersion}, l.collection, l.sessionKey))
	defer clear(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("deriving the key of a value: %w", err)
	}
	return cipher.NewGCM(block)
}
