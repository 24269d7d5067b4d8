package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"userinfo/passwords"
)

// maxPasswordBody is the largest size of a body about a password, in bytes. Two passwords of 4,096 bytes fit, also if every
// character that is not ASCII is escaped, as PHP does it.
const maxPasswordBody = 32 << 10

// Problems of bodies about passwords. None contains anything of the body.
var (
	errPasswordBody = badRequest("The body is not one JSON object whose values are strings.")
	errNotUTF8      = badRequest("The body is not UTF-8, or has an escape that is half of a character.")
	errTwice        = badRequest("The JSON object has a field twice.")
)

// readFields reads a JSON object of strings with some of the allowed fields. The memory of the body is overwritten.
func (rs *requestState) readFields(allowed ...string) (map[string]passwords.Secret, error) {
	data, err := rs.readBody(maxPasswordBody)
	defer clear(data)
	var p *problemError
	switch {
	case errors.Is(err, errEmptyValue):
		return nil, errPasswordBody
	case errors.As(err, &p) && p.Status == http.StatusRequestEntityTooLarge:
		return nil, errPasswordBodyTooLarge
	case err != nil:
		return nil, err
	}
	return decodeFields(data, allowed)
}

var errPasswordBodyTooLarge = func() *problemError {
	e := newProblem(http.StatusRequestEntityTooLarge, "value-too-large", "Body too large", "A body about a password has at most 32768 bytes.")
	e.closeConnection = true
	return e
}()

// decodeFields decodes a JSON object whose values are strings. It fails closed: it refuses an unknown field, a field that
// is there twice, text that is not UTF-8, and anything after the object. Names of fields are compared exactly;
// encoding/json alone would ignore case, take the last of two equal fields, and replace what is not UTF-8.
func decodeFields(data []byte, allowed []string) (map[string]passwords.Secret, error) {
	if !utf8.Valid(data) || hasHalfCharacter(data) {
		return nil, errNotUTF8
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errPasswordBody
	}
	fields := make(map[string]passwords.Secret)
	for d.More() {
		name, nameErr := d.Token()
		value, valueErr := d.Token()
		key, isName := name.(string)
		text, isText := value.(string)
		switch _, twice := fields[key]; {
		case nameErr != nil || valueErr != nil || !isName || !isText:
			return nil, errPasswordBody
		case twice:
			return nil, errTwice
		case !slices.Contains(allowed, key):
			return nil, badRequest("The JSON object has an unknown field. Possible here are: " + strings.Join(allowed, ", ") + ".")
		}
		fields[key] = passwords.Secret(text)
	}
	if _, err := d.Token(); err != nil {
		return nil, errPasswordBody
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errPasswordBody
	}
	return fields, nil
}

// hasHalfCharacter reports whether JSON has an escape that is half of a character, such as \ud800 without a second half
// after it. encoding/json would replace it by U+FFFD, so that different passwords would become equal.
func hasHalfCharacter(data []byte) bool {
	first := false // the escape before is a first half
	for i := 0; i < len(data); i++ {
		unit, escaped := escapedUnit(data[i:])
		if second := escaped && 0xdc00 <= unit && unit <= 0xdfff; first != second {
			return true
		}
		first = escaped && 0xd800 <= unit && unit <= 0xdbff
		switch {
		case escaped:
			i += 5
		case data[i] == '\\':
			i++ // another escape, perhaps of a backslash
		}
	}
	return first
}

// escapedUnit returns the UTF-16 code unit of an escape of the form \u1234 at the beginning of data.
func escapedUnit(data []byte) (unit uint64, ok bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return unit, err == nil
}
