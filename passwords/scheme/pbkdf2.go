package scheme

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"strconv"
	"strings"
	"time"
)

// Bounds of PBKDF2. maxIterations is the largest number of HMACs: rounds times the blocks of the key. It takes about a
// second.
const (
	minKeyBytes   = 16
	maxKeyBytes   = 512
	maxIterations = 2_000_000
)

// pbkdf2Algorithms are the hash functions by PHP's names.
var pbkdf2Algorithms = map[string]func() hash.Hash{
	"sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

// pbkdf2Hash is the scheme :pbkdf2:.
type pbkdf2Hash struct {
	algorithm func() hash.Hash
	rounds    int
	salt, key []byte
}

// parsePBKDF2 parses the five fields ALGO, ROUNDS, LENGTH, SALT and KEY.
func parsePBKDF2(fields []string) (pbkdf2Hash, error) {
	if len(fields) != 5 {
		return pbkdf2Hash{}, malformed("pbkdf2", "it does not have five fields")
	}
	h := pbkdf2Hash{algorithm: pbkdf2Algorithms[fields[0]]}
	if h.algorithm == nil {
		return pbkdf2Hash{}, malformed("pbkdf2", "unknown algorithm; known are sha1, sha224, sha256, sha384 and sha512")
	}
	length, ok := parseNumber(fields[2], minKeyBytes, maxKeyBytes)
	if !ok {
		return pbkdf2Hash{}, malformed("pbkdf2", "the length is not a number from 16 to 512")
	}
	size := h.algorithm().Size()
	blocks := (length + size - 1) / size
	if h.rounds, ok = parseNumber(fields[1], 1, maxIterations/blocks); !ok {
		return pbkdf2Hash{}, malformed("pbkdf2", "the number of rounds is not from 1 to two million divided by the number of blocks")
	}
	var saltErr, keyErr error
	h.salt, saltErr = decode(base64.StdEncoding, fields[3])
	h.key, keyErr = decode(base64.StdEncoding, fields[4])
	if saltErr != nil || keyErr != nil || len(h.salt) < 1 || len(h.salt) > maxSaltBytes || len(h.key) != length {
		return pbkdf2Hash{}, malformed("pbkdf2", "salt or key is not base64, or has the wrong length")
	}
	return h, nil
}

func (h pbkdf2Hash) cost() time.Duration {
	size, each := h.algorithm().Size(), 200*time.Nanosecond
	if size > sha256.Size { // of the family of SHA-512, for which few CPUs have instructions
		each = 500 * time.Nanosecond
	}
	return time.Duration(h.rounds) * time.Duration((len(h.key)+size-1)/size) * each
}

func (h pbkdf2Hash) verify(password []byte) bool {
	key, err := pbkdf2.Key(h.algorithm, string(password), h.salt, h.rounds, len(h.key))
	return err == nil && subtle.ConstantTimeCompare(key, h.key) == 1
}

// parseNumber parses a decimal number without sign, white space and leading zeros, from least to most.
func parseNumber(text string, least, most int) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= least && n <= most && strconv.Itoa(n) == text
}

// layeredHash is the scheme :pbkdf2-legacyA: or :pbkdf2-legacyB:. MediaWiki makes it from an MD5 without knowing the
// password.
type layeredHash struct {
	salted bool
	salt   string
	outer  pbkdf2Hash
}

// parseLayered parses the parameters of MD5 (empty), the parameters of PBKDF2, the salt of MD5, the salt of PBKDF2 and the
// key. Layers are separated by !, and the fields of PBKDF2 by colons.
func parseLayered(rest string, mayBeUnsalted bool) (verifier, error) {
	fields := splitExactly(rest, '!', 5)
	if fields == nil || fields[0] != "" {
		return nil, malformed("pbkdf2-legacy", "it does not have five fields, or the first is not empty")
	}
	h := layeredHash{salted: fields[2] != "", salt: fields[2]}
	if !h.salted && !mayBeUnsalted {
		return nil, malformed("pbkdf2-legacyB", "no salt")
	}
	if len(h.salt) > maxSaltBytes {
		return nil, malformed("pbkdf2-legacy", "the salt is too long")
	}
	parameters := splitExactly(fields[1], ':', 3)
	if parameters == nil {
		return nil, malformed("pbkdf2-legacy", "PBKDF2 does not have three parameters")
	}
	var err error
	h.outer, err = parsePBKDF2(append(parameters, fields[3], fields[4]))
	return h, err
}

func (h layeredHash) cost() time.Duration { return h.outer.cost() }

func (h layeredHash) verify(password []byte) bool {
	return h.outer.verify(md5Text(h.salted, h.salt, password))
}

// decode decodes base64 strictly. The decoders of encoding/base64 ignore line ends.
func decode(e *base64.Encoding, text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, ErrHash
	}
	return e.Strict().DecodeString(text)
}
