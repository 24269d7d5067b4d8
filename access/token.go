package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// TokenPrefix is the beginning of every token that NewToken returns, so that secret scanners recognize a leaked token.
const TokenPrefix = "userinfo_"

// tokenBytes is the number of random bytes in a token. It is large enough that guessing is hopeless and that an unsalted
// hash of the token needs no protection.
const tokenBytes = 32

// maxTokenBytes is the longest token that is hashed, so that unauthenticated requests cannot cause much work.
const maxTokenBytes = 1024

// NewToken returns a new token. random must be cryptographically secure.
func NewToken(random io.Reader) (Token, error) {
	var b [tokenBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("reading randomness for a token: %w", err)
	}
	return Token(TokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])), nil
}

// minDistinctBytes is the least number of different bytes in a token that counts as random. 32 random bytes have about 30. That
// they have fewer than 16 is less likely than guessing a key of 64 bits.
const minDistinctBytes = 16

// isGenerated reports whether the token can come from NewToken. It fails closed: another length, another spelling of the same
// bytes and bytes that are not random are rejected.
func (t Token) isGenerated() bool {
	encoded, ok := strings.CutPrefix(string(t), TokenPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(b) != tokenBytes || len(encoded) != base64.RawURLEncoding.EncodedLen(tokenBytes) { // the decoder skips newlines
		return false
	}
	var seen [256]bool
	distinct := 0
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			distinct++
		}
	}
	return distinct >= minDistinctBytes
}

// guessable are tokens that somebody could try first.
var guessable = []string{"", "admin", "bearer", "changeme", "default", "example", "mediawiki", "password", "root", "secret", "session", "sessions", "test", "token", "userinfo", "wiki", "123456", "12345678"}

// isGuessable reports whether hash is the SHA-256 of the client's name or of another token that somebody could try first.
func isGuessable(hash [sha256.Size]byte, client string) bool {
	for _, word := range append([]string{client}, guessable...) {
		if hash == Token(word).Hash() || hash == Token(TokenPrefix+word).Hash() {
			return true
		}
	}
	return false
}

// Hash returns the SHA-256 of the token. The configuration contains only this hash.
func (t Token) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(t)) }

// HashText returns Hash in hexadecimal, as the configuration spells it.
func (t Token) HashText() string {
	h := t.Hash()
	return hex.EncodeToString(h[:])
}

// parseBearer parses all values of the Authorization header. Without a header it returns no token and no error.
//
//	Authorization: Bearer b64token            RFC 6750, section 2.1
//	b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
//
// It fails closed: for two headers, another scheme, an empty or too long token and a character outside the alphabet it
// returns ErrMalformed.
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

// notB64Token reports whether r is outside the alphabet of b64token.
func notB64Token(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("-._~+/", r)
}
