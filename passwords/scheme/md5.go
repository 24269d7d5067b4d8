package scheme

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"time"
)

// maxSaltBytes is the largest length of a salt, decoded.
const maxSaltBytes = 128

// md5Hash is the scheme :A: without a salt, or :B:. MediaWiki also accepts :A: with a salt, which an old version wrote for
// :B:.
type md5Hash struct {
	salted bool
	salt   string
	sum    []byte // 32 hexadecimal digits
}

func parseMD5(rest string, mayBeUnsalted bool) (verifier, error) {
	h := md5Hash{sum: []byte(rest)}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 || !mayBeUnsalted {
		if i < 0 {
			return nil, malformed("B", "no salt")
		}
		h.salted, h.salt, h.sum = true, rest[:i], []byte(rest[i+1:])
	}
	if strings.Contains(h.salt, ":") || len(h.salt) > maxSaltBytes {
		return nil, malformed("A or B", "the salt is too long, or contains a colon")
	}
	if !isMD5(h.sum) {
		return nil, malformed("A or B", "the hash is not 32 hexadecimal digits in lower case")
	}
	return h, nil
}

// isMD5 reports whether sum is the text of an MD5, as PHP writes it.
func isMD5(sum []byte) bool {
	return len(sum) == 2*md5.Size && strings.Trim(string(sum), "0123456789abcdef") == ""
}

func (h md5Hash) cost() time.Duration { return time.Microsecond }

func (h md5Hash) verify(password []byte) bool {
	return subtle.ConstantTimeCompare(md5Text(h.salted, h.salt, password), h.sum) == 1
}

// md5Text returns the MD5 of a password as 32 hexadecimal digits, with or without a salt.
func md5Text(salted bool, salt string, password []byte) []byte {
	sum := md5.Sum(password)
	text := hex.AppendEncode(nil, sum[:])
	if !salted {
		return text
	}
	sum = md5.Sum(append([]byte(salt+"-"), text...))
	return hex.AppendEncode(nil, sum[:])
}
