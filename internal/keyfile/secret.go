package keyfile

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
)

// secretBytes is the size of a new Secret in bytes.
const secretBytes = 32

// Secret is a key. The zero Secret is no key. A Secret only refers to its key: all Secrets with equal keys share one copy, in
// memory that is locked where the kernel allows it, and are equal (==). The copy is erased when no Secret refers to it.
//
// A Secret prints as [redacted] with fmt, log/slog and encoding/json. As an unexported field, it prints as an address.
type Secret struct{ held *held }

const redacted = "[redacted]"

// Format implements fmt.Formatter for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// NewSecret returns a new key of 32 bytes made from random, which must be cryptographically secure.
func NewSecret(random io.Reader) (Secret, error) {
	var b [secretBytes]byte
	defer clear(b[:])
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Secret{}, fmt.Errorf("reading randomness for a key: %w", err)
	}
	return Secret{secrets.hold(b[:])}, nil
}

// use calls do with the key, which do must not keep.
func (s Secret) use(do func(key []byte)) {
	do(s.held.bytes)
	runtime.KeepAlive(s.held) // otherwise the key could be erased while do reads it
}

// idBytes is the size of an ID in bytes.
const idBytes = 4

// ID returns the first 4 bytes of SHA-256("userinfo key id" ‖ key). It is not secret.
func (s Secret) ID() [idBytes]byte { return s.held.id }

func idOf(key []byte) [idBytes]byte {
	h := sha256.New()
	_, _ = io.WriteString(h, "userinfo key id")
	h.Write(key)
	return [idBytes]byte(h.Sum(nil))
}

// macs makes copies of the state that HMAC-SHA256 has after it has read the key. crypto/hmac alone would copy the key in each
// call, and nothing would overwrite these copies.
type macs struct {
	once  sync.Once
	state hash.Cloner
}

// MAC returns a new HMAC-SHA256 with s as its key. It panics if s is the zero Secret.
func (s Secret) MAC() hash.Hash {
	m := &s.held.macs
	m.once.Do(func() {
		s.use(func(key []byte) {
			state := hmac.New(sha256.New, key)
			state.Reset() // replaces the key by the state
			m.state = state.(hash.Cloner)
		})
	})
	state, err := m.state.Clone()
	if err != nil {
		panic("HMAC-SHA256 cannot be copied: " + err.Error()) // crypto/hmac and crypto/sha256 can
	}
	return state
}

// Extract returns what HKDF-SHA256 extracts from s without salt (RFC 5869, section 2.2).
func (s Secret) Extract() Secret {
	var extracted []byte
	var err error
	s.use(func(key []byte) { extracted, err = hkdf.Extract(sha256.New, key, nil) })
	if err != nil {
		panic("HKDF-SHA256: " + err.Error()) // only FIPS mode has errors, for other hashes
	}
	defer clear(extracted)
	return Secret{secrets.hold(extracted)}
}

// Expand returns the first 32 bytes of HKDF-Expand with SHA-256, the result of Extract as pseudorandom key, and info. They are
// one HMAC (RFC 5869, section 2.3). Package crypto/hkdf would copy s.
func (s Secret) Expand(info []byte) [sha256.Size]byte {
	m := s.MAC()
	m.Write(info)
	m.Write([]byte{1})
	var key [sha256.Size]byte
	m.Sum(key[:0])
	return key
}

// Kind is the purpose of a key: seal, index, audit, ticket or signature. It is part of the file, so that a key of one kind is
// never used as another.
type Kind string

// The format of a key file:
//
//	userinfo-KIND-key-1:BASE64        1 is the version of the format; BASE64 is the key with padding (RFC 4648, section 4)
const (
	kindBegin = "userinfo-"
	kindEnd   = "-key-1:"
)

func (k Kind) prefix() string { return kindBegin + string(k) + kindEnd }

// Text returns the content of a key file of kind k. It reveals the key. The text of the zero Secret is not valid.
func (k Kind) Text(s Secret) (text string) {
	text = k.prefix()
	if s != (Secret{}) {
		s.use(func(key []byte) { text += base64.StdEncoding.EncodeToString(key) })
	}
	return text
}

// Parse returns the key of 32 bytes in the content of a file of kind k: Text, and optionally a line end. It fails closed: it
// rejects anything that is not exactly one key of this kind, and a key of zeros. Its errors quote nothing from text.
func (k Kind) Parse(text []byte) (Secret, error) { return k.ParseSize(text, secretBytes, secretBytes) }

// ParseSize is Parse for keys of minBytes to maxBytes. maxBytes is at most 128.
func (k Kind) ParseSize(text []byte, minBytes, maxBytes int) (Secret, error) {
	line := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	encoded, ok := bytes.CutPrefix(line, []byte(k.prefix()))
	if !ok && bytes.HasPrefix(line, []byte(kindBegin)) && bytes.Contains(line, []byte(kindEnd)) {
		return Secret{}, fmt.Errorf("the file holds another kind of key; name a file that `userinfo key new %s` has made", k)
	}
	key := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	defer clear(key)
	n, err := base64.StdEncoding.Strict().Decode(key, encoded)
	// The decoder ignores line ends, so they are checked here.
	if !ok || err != nil || bytes.ContainsAny(encoded, "\r\n") {
		return Secret{}, fmt.Errorf("the file must hold one %s key and nothing else, as `userinfo key new %s` prints it", k, k)
	}
	if n < minBytes || n > min(maxBytes, maxSecretBytes) {
		return Secret{}, fmt.Errorf("the key has %d bytes, and the service needs %s; make a key with `userinfo key new %s`", n, sizeText(minBytes, maxBytes), k)
	}
	if !slices.ContainsFunc(key[:n], func(b byte) bool { return b != 0 }) {
		return Secret{}, errors.New("the key consists of zeros; make a key with `userinfo key new " + string(k) + "`")
	}
	return Secret{secrets.hold(key[:n])}, nil
}

func sizeText(minBytes, maxBytes int) string {
	if minBytes == maxBytes {
		return fmt.Sprint(minBytes)
	}
	return fmt.Sprintf("%d to %d", minBytes, maxBytes)
}
