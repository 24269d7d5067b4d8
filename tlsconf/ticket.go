package tlsconf

import (
	"io"
	"strconv"
	"time"

	"userinfo/internal/keyfile"
)

// TicketKey is the secret from which instances derive the keys that encrypt TLS session tickets. Instances with the same
// TicketKey resume each other's sessions. It prints as [redacted].
//
// Keep it as secret as the key of a CA: with it, anybody can make a ticket of any client that authenticates with a
// certificate, without that client's private key. It does not decrypt recorded connections: only TLS 1.3 sessions are
// resumed, and always with ephemeral keys (psk_dhe_ke, RFC 8446, section 2.2).
type TicketKey struct{ secret }

type secret = keyfile.Secret

const ticketKind keyfile.Kind = "ticket"

// NewTicketKey returns a new key. random must be cryptographically secure.
func NewTicketKey(random io.Reader) (TicketKey, error) {
	s, err := keyfile.NewSecret(random)
	return TicketKey{s}, err
}

// Text returns the contents of the key's file. It reveals the key.
func (k TicketKey) Text() string { return ticketKind.Text(k.secret) }

// ParseTicketKey parses the contents of a key file, as Text returns them. Errors contain nothing of the text.
func ParseTicketKey(text []byte) (TicketKey, error) {
	s, err := ticketKind.Parse(text)
	return TicketKey{s}, err
}

// ticketPeriod is how long one key encrypts new tickets.
const ticketPeriod = time.Hour

// ticketPeriods is how many periods a ticket stays valid after its own. A client that returns later does a full handshake.
const ticketPeriods = 8

// ticketHour returns the number of the period that t is in, counted from 1970.
func ticketHour(t time.Time) int64 { return t.Unix() / int64(ticketPeriod/time.Second) }

// derive returns the keys to use in a period. The first key encrypts; all of them decrypt. The last is the key of the
// next period, for tickets from instances whose clock is ahead.
//
//	HKDF-SHA256(secret, info "userinfo TLS session tickets " period)
func (k TicketKey) derive(period int64) [][32]byte {
	extracted := k.secret.Extract()
	var keys [][32]byte
	add := func(of int64) {
		keys = append(keys, extracted.Expand([]byte("userinfo TLS session tickets "+strconv.FormatInt(of, 10))))
	}
	for of := period; of >= period-ticketPeriods; of-- {
		add(of)
	}
	add(period + 1)
	return keys
}
