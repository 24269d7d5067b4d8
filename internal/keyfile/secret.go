package keyfile

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// secretBytes is the size of a Secret.
const secretBytes = 32

// Secret is a key of 32 bytes. It prints as [redacted] wherever fmt, slog or JSON can ask it; a struct with one in an
// unexported field that is not embedded needs a Format of its own, as fmt does not ask there.
type Secret [secretBytes]byte

const redacted = "[redacted]"

func (Secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// NewSecret makes a key from random, which must be cryptographically strong.
func NewSecret(random io.Reader) (s Secret, err error) {
	if _, err := io.ReadFull(random, s[:]); err != nil {
		return Secret{}, fmt.Errorf("reading randomness for a key: %w", err)
	}
	return s, nil
}

// Kind tells one kind of key from all others: seal, index, audit, ticket.
type Kind string

// A key's file:
//
//	userinfo-KIND-key-1:BASE64        the 1 is the format; base64 of 32 bytes, padded (RFC 4648, section 4)
const (
	kindBegins = "userinfo-"
	kindEnds   = "-key-1:"
)

func (k Kind) prefix() string { return kindBegins + string(k) + kindEnds }

// Text is what the file of a key of kind k holds. It reveals the key.
func (k Kind) Text(s Secret) string { return k.prefix() + base64.StdEncoding.EncodeToString(s[:]) }

// Parse reads what the file of a key of kind k holds: its Text and, perhaps, a line end. It fails closed: whatever is not
// exactly one key of the kind, and a key of nothing but zeros, is none. Its errors quote nothing of it.
func (k Kind) Parse(text []byte) (Secret, error) {
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	encoded, ok := strings.CutPrefix(line, k.prefix())
	if !ok && strings.HasPrefix(line, kindBegins) && strings.Contains(line, kindEnds) {
		return Secret{}, fmt.Errorf("the file holds another kind of key; name one that `userinfo key new %s` has made", k)
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	// The decoder skips line ends.
	if !ok || err != nil || len(decoded) != secretBytes || strings.ContainsAny(encoded, "\r\n") {
		return Secret{}, fmt.Errorf("the file does not hold one %s key and nothing else, as `userinfo key new %s` prints it", k, k)
	}
	s := Secret(decoded)
	if s == (Secret{}) {
		return Secret{}, errors.New("the key is nothing but zeros; make one with `userinfo key new " + string(k) + "`")
	}
	return s, nil
}
