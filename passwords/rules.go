package passwords

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"userinfo/access"
)

// maxPasswordBytes is the largest length of a password after normalisation.
const maxPasswordBytes = 4096

// graphemeJoiner is what package norm inserts after 30 combining characters, and PHP does not.
const graphemeJoiner = "\u034f"

// normalise returns a password in Unicode's normalisation form C, as MediaWiki hashes it. It fails closed: the error wraps
// ErrPassword. A zero byte is refused, because bcrypt would ignore what follows it, and a text that PHP normalises
// otherwise.
func normalise(s Secret) ([]byte, error) {
	switch {
	case s == "":
		return nil, fmt.Errorf("%w: it is empty", ErrPassword)
	case !utf8.ValidString(string(s)) || strings.Contains(string(s), "\x00"):
		return nil, fmt.Errorf("%w: it is not UTF-8, or contains a zero byte", ErrPassword)
	}
	b := norm.NFC.Bytes([]byte(s))
	if bytes.Count(b, []byte(graphemeJoiner)) != strings.Count(string(s), graphemeJoiner) {
		return nil, fmt.Errorf("%w: it has more than 30 combining characters in a row", ErrPassword)
	}
	if len(b) > maxPasswordBytes {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrPassword, maxPasswordBytes)
	}
	return b, nil
}

// checkStrength returns a WeakError if a new password is against the rules. The rules depend on nothing but the password
// and the name of the user, so that the error reveals nothing about the user.
func (u *Users) checkStrength(user access.Key, password []byte) error {
	if utf8.RuneCount(password) < u.config.MinLength {
		return &WeakError{fmt.Sprintf("a password has at least %d characters", u.config.MinLength)}
	}
	if strings.Contains(strings.ToLower(string(user)), strings.ToLower(string(password))) {
		return &WeakError{"a password is not the name of the user, or a part of it"}
	}
	return nil
}
