package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"userinfo/internal/keyfile"
)

// Algorithm is a name in the HTTP Signature Algorithms registry of IANA.
type Algorithm string

// The supported algorithms (RFC 9421, sections 3.3.3 and 3.3.6).
const (
	HMACSHA256 Algorithm = "hmac-sha256"
	Ed25519    Algorithm = "ed25519"
)

// signatureKind is the kind of a Secret's file; see package keyfile for the format.
const signatureKind keyfile.Kind = "signature"

// Sizes of a Secret in bytes. A new Secret has the smallest size, because a longer key is not stronger (RFC 2104, section 3).
const (
	minSecretBytes = 32
	maxSecretBytes = 128
)

type secret = keyfile.Secret

// Secret is the shared key of client and service for hmac-sha256: 32 to 128 random bytes. The zero Secret is no key. It prints as
// [redacted] with every fmt verb, in slog and in JSON.
type Secret struct{ secret }

// NewSecret returns a new secret. random must be cryptographically secure.
func NewSecret(random io.Reader) (Secret, error) {
	s, err := keyfile.NewSecret(random)
	return Secret{s}, err
}

// Text returns the contents of the secret's file. It reveals the secret.
func (s Secret) Text() string { return signatureKind.Text(s.secret) }

// errZeroKey is the error for a key that was probably never set.
var errZeroKey = errors.New("the key contains only zeros; make a new key")

// ParseSecret parses the contents of a secret's file: its Text and an optional newline. It fails closed: anything but exactly one
// secret is an error. Errors contain nothing of the text.
func ParseSecret(text []byte) (Secret, error) {
	s, err := signatureKind.ParseSize(text, minSecretBytes, maxSecretBytes)
	return Secret{s}, err
}

// Key verifies signatures. It prints as its id and algorithm. The zero Key verifies nothing.
type Key struct {
	id     string
	secret Secret            // for hmac-sha256
	public ed25519.PublicKey // for ed25519
}

// HMACKey returns a key for hmac-sha256. The id has 1 to MaxIDBytes printable ASCII characters.
func HMACKey(id string, s Secret) (Key, error) {
	if err := checkID(id); err != nil {
		return Key{}, err
	}
	if s == (Secret{}) {
		return Key{}, errZeroKey
	}
	return Key{id: id, secret: s}, nil
}

// Ed25519Key returns a key for ed25519. The id has 1 to MaxIDBytes printable ASCII characters.
func Ed25519Key(id string, public ed25519.PublicKey) (Key, error) {
	if err := checkID(id); err != nil {
		return Key{}, err
	}
	if len(public) != ed25519.PublicKeySize {
		return Key{}, fmt.Errorf("an Ed25519 public key has %d bytes, not %d", ed25519.PublicKeySize, len(public))
	}
	if strings.Trim(string(public), "\x00") == "" {
		return Key{}, errZeroKey
	}
	return Key{id: id, public: public}, nil
}

// ParseKey parses the file of a Key: a Secret's file, or an Ed25519 public key as `openssl pkey -pubout` writes it (PEM, RFC 8410).
// Errors contain nothing of the text.
func ParseKey(id string, text []byte) (Key, error) {
	if !bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		s, err := ParseSecret(text)
		if err != nil {
			return Key{}, err
		}
		return HMACKey(id, s)
	}
	der, err := onePEM(text, "PUBLIC KEY")
	if err != nil {
		return Key{}, err
	}
	k, err := x509.ParsePKIXPublicKey(der)
	public, ok := k.(ed25519.PublicKey)
	if err != nil || !ok {
		return Key{}, errors.New("the file contains a public key that is not an Ed25519 key; make a key with `openssl genpkey -algorithm ed25519`")
	}
	return Ed25519Key(id, public)
}

// Equal reports whether k and other have the same id and verify the same signatures.
func (k Key) Equal(other Key) bool { return k.id == other.id && k.SameMaterial(other) }

// SameMaterial reports whether k and other verify the same signatures, except for their ids.
func (k Key) SameMaterial(other Key) bool {
	return k.secret == other.secret && k.public.Equal(other.public)
}

// ID returns the key's id, which is the keyid parameter of its signatures. It is not secret.
func (k Key) ID() string { return k.id }

// Algorithm returns the key's algorithm. It is empty for the zero Key.
func (k Key) Algorithm() Algorithm {
	switch {
	case k.secret != (Secret{}):
		return HMACSHA256
	case k.public != nil:
		return Ed25519
	}
	return ""
}

// Format prints the id and the algorithm, whatever the verb. Without Format, fmt would print the secret, because it does not call
// methods on unexported fields.
func (k Key) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s (%s)", k.id, string(k.Algorithm()))
}
func (k Key) LogValue() slog.Value         { return slog.StringValue(fmt.Sprint(k)) }
func (k Key) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(k)), nil }

// verify decides whether signature is the signature of base. It compares an HMAC in constant time. It fails closed: the zero Key
// verifies nothing.
func (k Key) verify(base string, signature []byte) bool {
	switch k.Algorithm() {
	case HMACSHA256:
		return hmac.Equal(k.secret.mac(base), signature)
	case Ed25519:
		return ed25519.Verify(k.public, []byte(base), signature)
	}
	return false
}

// mac returns the HMAC-SHA256 of base.
func (s Secret) mac(base string) []byte {
	h := s.MAC()
	_, _ = io.WriteString(h, base)
	return h.Sum(nil)
}

// SigningKey makes signatures. It prints as its id and algorithm. The zero SigningKey makes no signature.
type SigningKey struct {
	Key     // verifies the signatures
	private ed25519.PrivateKey
}

// HMACSigningKey returns a signing key for hmac-sha256. See HMACKey.
func HMACSigningKey(id string, s Secret) (SigningKey, error) {
	k, err := HMACKey(id, s)
	return SigningKey{Key: k}, err
}

// Ed25519SigningKey returns a signing key for ed25519. See Ed25519Key.
func Ed25519SigningKey(id string, private ed25519.PrivateKey) (SigningKey, error) {
	if len(private) != ed25519.PrivateKeySize {
		return SigningKey{}, fmt.Errorf("an Ed25519 private key has %d bytes, not %d", ed25519.PrivateKeySize, len(private))
	}
	k, err := Ed25519Key(id, private.Public().(ed25519.PublicKey))
	if err != nil {
		return SigningKey{}, err
	}
	return SigningKey{Key: k, private: private}, nil
}

// ParseSigningKey parses the file of a SigningKey: a Secret's file, or an Ed25519 private key as
// `openssl genpkey -algorithm ed25519` writes it (PEM, PKCS #8). Errors contain nothing of the text.
func ParseSigningKey(id string, text []byte) (SigningKey, error) {
	if !bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		s, err := ParseSecret(text)
		if err != nil {
			return SigningKey{}, err
		}
		return HMACSigningKey(id, s)
	}
	der, err := onePEM(text, "PRIVATE KEY")
	if err != nil {
		return SigningKey{}, err
	}
	defer clear(der)
	k, err := x509.ParsePKCS8PrivateKey(der)
	private, ok := k.(ed25519.PrivateKey)
	if err != nil || !ok {
		return SigningKey{}, errors.New("the file contains a private key that is not an Ed25519 key; make a key with `openssl genpkey -algorithm ed25519`")
	}
	return Ed25519SigningKey(id, private)
}

// sign returns the signature of base.
func (k SigningKey) sign(base string) ([]byte, error) {
	switch {
	case k.secret != (Secret{}):
		return k.secret.mac(base), nil
	case k.private != nil:
		return ed25519.Sign(k.private, []byte(base)), nil
	}
	return nil, errors.New("the signing key is empty")
}

// onePEM returns the content of the PEM block in text. The block must be of this kind, and only newlines may follow.
func onePEM(text []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || len(bytes.TrimRight(rest, "\r\n")) > 0 {
		return nil, fmt.Errorf("the file does not contain exactly one PEM block of type %s", kind)
	}
	return block.Bytes, nil
}

// checkID checks the id of a key.
func checkID(id string) error {
	if id == "" || len(id) > MaxIDBytes || !printable(id) {
		return fmt.Errorf("a key id must have 1 to %d printable ASCII characters", MaxIDBytes)
	}
	return nil
}

// printable reports whether s contains only printable ASCII characters, as a string of RFC 9651 does.
func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
