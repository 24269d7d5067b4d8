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

// Secret is a key of 32 bytes. It prints as [redacted] with fmt, log/slog and encoding/json.
//
// fmt does not call the methods of an unexported field. A struct with such a field needs its own Format method, unless the
// Secret is embedded.
type Secret [secretBytes]byte

const redacted = "[redacted]"

// Format implements fmt.Formatter for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// NewSecret returns a new key made from random, which must be cryptographically secure.
func NewSecret(random io.Reader) (s Secret, err error) {
	if _, err := io.ReadFull(random, s[:]); err != nil {
		return Secret{}, fmt.Errorf("reading randomness for a key: %w", err)
	}
	return s, nil
}

// Kind is the purpose of a key: seal, index, audit or ticket. It is part of the file, so that a key of one kind is never
// used as another.
type Kind string

// The format of a key file:
//
//	userinfo-KIND-key-1:BASE64        1 is the version of the format; BASE64 is 32 bytes with padding (RFC 4648, section 4)
const (
	kindBegin = "userinfo-"
	kindEnd   = "-key-1:"
)

func (k Kind) prefix() string { return kindBegin + string(k) + kindEnd }

// Text returns the content of a key file of kind k. It reveals the key.
func (k Kind) Text(s Secret) string { return k.prefix() + base64.StdEncoding.EncodeToString(s[:]) }

// Parse returns the key in the content of a file of kind k: Text, and optionally a line end. It fails closed: it rejects
// anything that is not exactly one key of this kind, and a key of zeros. Its errors quote nothing from text.
func (k Kind) Parse(text []byte) (Secret, error) {
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	encoded, ok := strings.CutPrefix(line, k.prefix())
	if !ok && strings.HasPrefix(line, kindBegin) && strings.Contains(line, kindEnd) {
		return Secret{}, fmt.Errorf("the file holds another kind of key; name a file that `userinfo key new %s` has made", k)
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	// The decoder ignores line ends, so they are checked here.
	if !ok || err != nil || len(decoded) != secretBytes || strings.ContainsAny(encoded, "\r\n") {
		return Secret{}, fmt.Errorf("the file must hold one %s key and nothing else, as `userinfo key new %s` prints it", k, k)
	}
	s := Secret(decoded)
	if s == (Secret{}) {
		return Secret{}, errors.New("the key consists of zeros; make a key with `userinfo key new " + string(k) + "`")
	}
	return s, nil
}
