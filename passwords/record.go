package passwords

import (
	"encoding/binary"
	"fmt"

	"userinfo/store"
)

// state is what a record says about its user.
type state byte

// The states. They are part of the stored format and must not change. A row without records has the zero state.
const (
	unknown    state = 0
	hasHash    state = 1
	noPassword state = 2 // disabled: the user exists, and no password is right
	deleted    state = 3
)

// record is what a row says about its user at one time. The zero record says that nobody knows the user.
type record struct {
	state state
	// imported reports whether the hash comes from Import, so that another Import may replace it.
	imported bool
	// since is when the record became true, in µs. Of two records of a row, the larger one counts.
	since int64
	hash  string // only with hasHash
}

// exists reports whether the user exists.
func (r record) exists() bool { return r.state == hasHash || r.state == noPassword }

// Format keeps hashes out of logs and errors. It implements fmt.Formatter for every verb.
func (record) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// The format of a record before it is sealed:
//
//	offset  bytes
//	     0      1   version: 1
//	     1      1   state
//	     2      1   1 if the hash was imported, otherwise 0
//	     3      8   since, big-endian
//	    11      2   length of the hash, big-endian
//	    13      n   the hash as text
//	  13+n          zeros up to a multiple of 256 bytes, so that the length of the sealed record tells little
const (
	recordVersion = 1
	recordHeader  = 13
	recordUnit    = 256
)

// encode returns the bytes of a record.
func (r record) encode() []byte {
	size := (recordHeader + len(r.hash) + recordUnit - 1) / recordUnit * recordUnit
	b := make([]byte, recordHeader, size)
	b[0], b[1] = recordVersion, byte(r.state)
	if r.imported {
		b[2] = 1
	}
	binary.BigEndian.PutUint64(b[3:], uint64(r.since))
	binary.BigEndian.PutUint16(b[11:], uint16(len(r.hash)))
	return append(b, r.hash...)[:size]
}

// errRecord wraps store.ErrSealed: the record was sealed by this service, so a newer version has written it.
var errRecord = fmt.Errorf("%w: the record has a format that this program does not support", store.ErrSealed)

// decodeRecord returns the record in bytes that encode has made. It fails closed.
func decodeRecord(b []byte) (record, error) {
	if len(b) < recordUnit || len(b)%recordUnit != 0 || b[0] != recordVersion || b[2] > 1 {
		return record{}, errRecord
	}
	r := record{state: state(b[1]), imported: b[2] == 1, since: int64(binary.BigEndian.Uint64(b[3:]))}
	length := int(binary.BigEndian.Uint16(b[11:]))
	if r.state < hasHash || r.state > deleted || r.since <= 0 || length > len(b)-recordHeader || (length > 0) != (r.state == hasHash) {
		return record{}, errRecord
	}
	r.hash = string(b[recordHeader : recordHeader+length])
	for _, padding := range b[recordHeader+length:] {
		if padding != 0 {
			return record{}, errRecord
		}
	}
	return r, nil
}

// resetToken is the newest reset token of a user.
type resetToken struct {
	issued  int64 // µs; the token is useless once a record is younger
	expires int64 // µs
	hash    [32]byte
}

const tokenBytes = 1 + 8 + 8 + 32

// encode returns the bytes of a token: version 1, issued, expires and hash.
func (t resetToken) encode() []byte {
	b := append(make([]byte, 0, tokenBytes), recordVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(t.issued))
	b = binary.BigEndian.AppendUint64(b, uint64(t.expires))
	return append(b, t.hash[:]...)
}

// decodeToken returns the token in bytes that encode has made. It fails closed.
func decodeToken(b []byte) (resetToken, error) {
	if len(b) != tokenBytes || b[0] != recordVersion {
		return resetToken{}, errRecord
	}
	return resetToken{
		issued:  int64(binary.BigEndian.Uint64(b[1:])),
		expires: int64(binary.BigEndian.Uint64(b[9:])),
		hash:    [32]byte(b[17:]),
	}, nil
}
