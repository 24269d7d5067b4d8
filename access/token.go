package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// TokenPrefix begins every token that NewToken makes, so that scanners for leaked secrets can know one.
const TokenPrefix = "userinfo_"

// tokenBytes of randomness make guessing hopeless and an unsalted hash of the token safe to keep.
const tokenBytes = 32

// maxTokenBytes bounds the work that a stranger can cause.
const maxTokenBytes = 1024

// NewToken makes a token from random, which must be cryptographically strong.
func NewToken(random io.Reader) (Token, error) {
	var b [tokenBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("reading randomness for a token: %w", err)
	}
	return Token(TokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])), nil
}

// Hash is what the configuration holds of a token: its SHA-256.
func (t Token) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(t)) }

// HashText is Hash in hexadecimal, as the configuration spells it.
func (t Token) HashText() string {
	h := t.Hash()
	return hex.EncodeToString(h[:])
}

// parseBearer reads the values of a request's Authorization headers. No header is no token and no error.
//
//	Authorization: Bearer b64token            RFC 6750, section 2.1
//	b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
//
// It fails closed: two headers, another scheme, an empty token or a byte outside the alphabet are ErrMalformed.
func parseBearer(headers []string) (Token, error) {
	if len(headers) == 0 {
		return "", nil
	}
	if len(headers) > 1 {
		return "", fmt.Errorf("%w: %d Authorization headers; send one", ErrMalformed, len(headers))
	}
	scheme, rest, found := strings.Cut(headers[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", fmt.Errorf("%w: the Authorization header is not of the form \"Bearer <token>\"", ErrMalformed)
	}
	token := strings.TrimLeft(rest, " ")
	if body := strings.TrimRight(token, "="); body == "" || len(token) > maxTokenBytes || strings.IndexFunc(body, notB64Token) >= 0 {
		return "", fmt.Errorf("%w: the bearer token is empty, longer than %d bytes or has a character that RFC 6750 does not allow", ErrMalformed, maxTokenBytes)
	}
	return Token(token), nil
}

func notB64Token(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("-._~+/", r)
}
