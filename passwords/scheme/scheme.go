// Package scheme reads, verifies and makes password hashes in MediaWiki's text format.
//
//	:A:MD5                                     MD5 of the password
//	:A:SALT:MD5 and :B:SALT:MD5                MD5 of SALT, "-" and the MD5 of the password
//	:pbkdf2:ALGO:ROUNDS:LENGTH:SALT:KEY        PBKDF2 with HMAC; salt and key in base64
//	:bcrypt:COST$SALT$HASH                     bcrypt, without its usual beginning $2y$
//	:argon2:$argon2id$v=19$m=M,t=T,p=P$S$H     Argon2id, or Argon2i with $argon2i$; base64 without padding
//	:pbkdf2-legacyA:!P!SALT!S!KEY              PBKDF2 of the MD5 of :A: ; P is ALGO:ROUNDS:LENGTH, SALT may be empty
//	:pbkdf2-legacyB:!P!SALT!S!KEY              PBKDF2 of the MD5 of :B:
//
// Invariants:
//
//  1. Parse accepts only hashes whose work is bounded: see Limits and the constants of each scheme. So a hash that somebody
//     has imported can use up neither the memory nor the CPU of the service.
//  2. Verify compares in constant time, and does the same work for every password of the same length.
//  3. New hashes are Argon2id with a random salt.
//  4. No error contains anything of a hash or a password, and a Hash prints as [redacted].
//
// The package does not defend against hashes that are weak by themselves: somebody who has an :A: or :B: hash can try
// billions of passwords a second. bcrypt ignores what follows the 72nd byte of a password.
package scheme

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrHash means that a text is not a hash that this package accepts. The wrapping error says why.
var ErrHash = errors.New("unusable password hash")

// maxHashBytes is the largest length of a hash as text. The longest hash that MediaWiki makes has about 300 bytes.
const maxHashBytes = 1024

// Limits bound the work of verifying a hash, in addition to the constants of each scheme.
type Limits struct {
	// MemoryKiB is the largest memory of one Argon2 hash, in KiB.
	MemoryKiB uint32
	// Threads is the largest number of threads of one Argon2 hash. 0: 16.
	Threads uint8
}

// Hash is a parsed hash. It never changes. The zero Hash matches no password. It prints as [redacted].
type Hash struct {
	text string
	work verifier
}

// verifier is the work of one scheme.
type verifier interface {
	// verify reports whether password has this hash, in constant time.
	verify(password []byte) bool
	// cost returns what verify costs, roughly.
	cost() time.Duration
}

// Format keeps hashes out of logs and errors. It implements fmt.Formatter for every verb.
func (Hash) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// Parse returns the hash in text. It fails closed: for a scheme that it does not know, for parameters outside their bounds
// and for anything that follows the hash, the error wraps ErrHash.
func Parse(text string, l Limits) (Hash, error) {
	if len(text) > maxHashBytes {
		return Hash{}, fmt.Errorf("%w: longer than %d bytes", ErrHash, maxHashBytes)
	}
	rest, ok := strings.CutPrefix(text, ":")
	name, rest, found := strings.Cut(rest, ":")
	if !ok || !found {
		return Hash{}, fmt.Errorf("%w: it does not begin with a colon, the name of a scheme and a colon", ErrHash)
	}
	work, err := parseScheme(name, rest, l)
	if err != nil {
		return Hash{}, err
	}
	return Hash{text: text, work: work}, nil
}

func parseScheme(name, rest string, l Limits) (verifier, error) {
	switch name {
	case "A":
		return parseMD5(rest, true)
	case "B":
		return parseMD5(rest, false)
	case "pbkdf2":
		return parsePBKDF2(strings.Split(rest, ":"))
	case "bcrypt":
		return parseBcrypt(rest)
	case "argon2":
		return parseArgon2(rest, l)
	case "pbkdf2-legacyA":
		return parseLayered(rest, true)
	case "pbkdf2-legacyB":
		return parseLayered(rest, false)
	}
	return nil, fmt.Errorf("%w: unknown scheme; known are A, B, pbkdf2, bcrypt, argon2, pbkdf2-legacyA and pbkdf2-legacyB", ErrHash)
}

// Text returns the hash as text. It reveals the hash.
func (h Hash) Text() string { return h.text }

// Verify reports whether the password has this hash. It fails closed: the zero Hash matches nothing.
func (h Hash) Verify(password []byte) bool { return h.work != nil && h.work.verify(password) }

// Cost returns roughly how long one CPU needs to verify a password, so that costs of hashes can be compared. The cost of the
// zero Hash is 0.
func (h Hash) Cost() time.Duration {
	if h.work == nil {
		return 0
	}
	return h.work.cost()
}

// malformed returns an error that wraps ErrHash.
func malformed(scheme, reason string) error {
	return fmt.Errorf("%w: scheme %s: %s", ErrHash, scheme, reason)
}
