package signature

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Algorithm is a name of IANA's registry of HTTP signature algorithms.
type Algorithm string

// The algorithms (RFC 9421, sections 3.3.3 and 3.3.6).
const (
	HMACSHA256 Algorithm = "hmac-sha256"
	Ed25519    Algorithm = "ed25519"
)

// redacted stands wherever a secret would have been printed.
const redacted = "[redacted]"

// secretPrefix begins the file of a secret. The 1 is the file's format.
const secretPrefix = "userinfo-signature-key-1:"

// Sizes of a Secret in bytes. A new one has the least, which is as good as any (RFC 2104, section 3).
const (
	minSecretBytes = 32
	maxSecretBytes = 128
)

// Secret is what client and service share for hmac-sha256: 32 to 128 random bytes. It prints as [redacted] whatever the
// verb, in logs and in JSON; a conversion to string reveals it.
type Secret string

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// NewSecret makes a secret from random, which must be cryptographically strong.
func NewSecret(random io.Reader) (Secret, error) {
	var b [minSecretBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("reading randomness for a secret: %w", err)
	}
	return Secret(b[:]), nil
}

// Text is what a key file holds. It reveals the secret.
func (s Secret) Text() string { return secretPrefix + base64.StdEncoding.EncodeToString([]byte(s)) }

// check fails closed: a secret that is short, long or was forgotten is none.
func (s Secret) check() error {
	switch {
	case len(s) < minSecretBytes || len(s) > maxSecretBytes:
		return fmt.Errorf("a secret has %d to %d bytes, and this one %d; make one with `userinfo key new signature`", minSecretBytes, maxSecretBytes, len(s))
	case strings.Trim(string(s), "\x00") == "":
		return errZeroKey
	}
	return nil
}

// errZeroKey is also what a key that was forgotten comes to.
var errZeroKey = errors.New("the key is nothing but zeros; make another")

// ParseSecret reads what a key file holds: the secret's Text and, perhaps, a line end. It fails closed: whatever is not
// exactly one secret is none. Its errors quote nothing of it.
func ParseSecret(text []byte) (Secret, error) {
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	encoded, ok := strings.CutPrefix(line, secretPrefix)
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || strings.ContainsAny(encoded, "\r\n") { // the decoder skips line ends
		return "", errors.New("the file does not hold one secret and nothing else, as `userinfo key new signature` prints it")
	}
	s := Secret(decoded)
	if err := s.check(); err != nil {
		return "", err
	}
	return s, nil
}

// Key verifies signatures. It prints as its id and algorithm. The zero Key verifies none.
type Key struct {
	id     string
	secret Secret            // of hmac-sha256
	public ed25519.PublicKey // of ed25519
}

// HMACKey is a key of hmac-sha256. Its id is up to 128 printable ASCII characters.
func HMACKey(id string, s Secret) (Key, error) {
	if err := errors.Join(checkID(id), s.check()); err != nil {
		return Key{}, err
	}
	return Key{id: id, secret: s}, nil
}

// Ed25519Key is a key of ed25519. Its id is up to 128 printable ASCII characters.
func Ed25519Key(id string, public ed25519.PublicKey) (Key, error) {
	if err := checkID(id); err != nil {
		return Key{}, err
	}
	if len(public) != ed25519.PublicKeySize {
		return Key{}, fmt.Errorf("a public key of Ed25519 has %d bytes, and this one %d", ed25519.PublicKeySize, len(public))
	}
	if strings.Trim(string(public), "\x00") == "" {
		return Key{}, errZeroKey
	}
	return Key{id: id, public: public}, nil
}

// ParseKey reads the file of a key to verify with: a Secret's, or a public key of Ed25519 as `openssl pkey -pubout`
// writes it (PEM, RFC 8410). Its errors quote nothing of the file.
func ParseKey(id string, text []byte) (Key, error) {
	if !strings.HasPrefix(string(text), "-----BEGIN ") {
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
		return Key{}, errors.New("the file holds a public key that is not one of Ed25519; make the pair with `openssl genpkey -algorithm ed25519`")
	}
	return Ed25519Key(id, public)
}

// Equal tells whether k and other are the same key under the same id.
func (k Key) Equal(other Key) bool { return k.id == other.id && k.SameMaterial(other) }

// SameMaterial tells whether k and other verify the same signatures, whatever their ids.
func (k Key) SameMaterial(other Key) bool {
	return hmac.Equal([]byte(k.secret), []byte(other.secret)) && k.public.Equal(other.public)
}

// ID is the keyid of its signatures; it is no secret.
func (k Key) ID() string { return k.id }

// Algorithm is empty for the zero Key.
func (k Key) Algorithm() Algorithm {
	switch {
	case k.secret != "":
		return HMACSHA256
	case k.public != nil:
		return Ed25519
	}
	return ""
}

// Format prints id and algorithm under every verb: fmt would show the secret, as it does not ask unexported fields.
func (k Key) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s (%s)", k.id, string(k.Algorithm()))
}
func (k Key) LogValue() slog.Value         { return slog.StringValue(fmt.Sprint(k)) }
func (k Key) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(k)), nil }

// verify takes the same time whichever byte of an HMAC is wrong. It fails closed: the zero Key verifies nothing.
func (k Key) verify(base string, signature []byte) bool {
	switch k.Algorithm() {
	case HMACSHA256:
		return hmac.Equal(k.secret.mac(base), signature)
	case Ed25519:
		return ed25519.Verify(k.public, []byte(base), signature)
	}
	return false
}

func (s Secret) mac(base string) []byte {
	h := hmac.New(sha256.New, []byte(s))
	_, _ = io.WriteString(h, base)
	return h.Sum(nil)
}

// SigningKey makes signatures. It prints as its id and algorithm. The zero SigningKey makes none.
type SigningKey struct {
	Key     // that verifies them
	private ed25519.PrivateKey
}

// HMACSigningKey is HMACKey for signing.
func HMACSigningKey(id string, s Secret) (SigningKey, error) {
	k, err := HMACKey(id, s)
	return SigningKey{Key: k}, err
}

// Ed25519SigningKey is Ed25519Key for signing.
func Ed25519SigningKey(id string, private ed25519.PrivateKey) (SigningKey, error) {
	if len(private) != ed25519.PrivateKeySize {
		return SigningKey{}, fmt.Errorf("a private key of Ed25519 has %d bytes, and this one %d", ed25519.PrivateKeySize, len(private))
	}
	k, err := Ed25519Key(id, private.Public().(ed25519.PublicKey))
	if err != nil {
		return SigningKey{}, err
	}
	return SigningKey{Key: k, private: private}, nil
}

// ParseSigningKey reads the file of a key to sign with: a Secret's, or a private key of Ed25519 as
// `openssl genpkey -algorithm ed25519` writes it (PEM, PKCS #8). Its errors quote nothing of the file.
func ParseSigningKey(id string, text []byte) (SigningKey, error) {
	if !strings.HasPrefix(string(text), "-----BEGIN ") {
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
	k, err := x509.ParsePKCS8PrivateKey(der)
	private, ok := k.(ed25519.PrivateKey)
	if err != nil || !ok {
		return SigningKey{}, errors.New("the file holds a private key that is not one of Ed25519; make one with `openssl genpkey -algorithm ed25519`")
	}
	return Ed25519SigningKey(id, private)
}

func (k SigningKey) sign(base string) ([]byte, error) {
	switch {
	case k.secret != "":
		return k.secret.mac(base), nil
	case k.private != nil:
		return ed25519.Sign(k.private, []byte(base)), nil
	}
	return nil, errors.New("there is no key to sign with")
}

// onePEM is the content of a file with one block of the kind and nothing else but line ends.
func onePEM(text []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || strings.TrimRight(string(rest), "\r\n") != "" {
		return nil, fmt.Errorf("the file does not hold one %s in PEM and nothing else", kind)
	}
	return block.Bytes, nil
}

func checkID(id string) error {
	if id == "" || len(id) > MaxIDBytes || !printable(id) {
		return fmt.Errorf("a key's id has 1 to %d printable ASCII characters", MaxIDBytes)
	}
	return nil
}

// printable tells whether s is of the characters that a string of RFC 9651 can have.
func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
