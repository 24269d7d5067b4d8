package tlsconf

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"userinfo/internal/keyfile"
)

// TicketKey is the secret from which instances that share it derive the keys of TLS session tickets, so that a client can
// resume with one what it began with another. It prints as [redacted].
//
// What it is worth: whoever has it can make tickets, and with them be any client that is known by a certificate of the
// service's CAs, without that client's key; so it is as secret as the key of a CA. It opens no recorded connection: sessions are of
// TLS 1.3 alone, and resumed with ephemeral keys (psk_dhe_ke, RFC 8446, section 2.2).
type TicketKey struct{ secret }

type secret = keyfile.Secret

const ticketKind keyfile.Kind = "ticket"

// NewTicketKey makes a key from random, which must be cryptographically strong.
func NewTicketKey(random io.Reader) (TicketKey, error) {
	s, err := keyfile.NewSecret(random)
	return TicketKey{s}, err
}

// Text is what a key file holds. It reveals the key.
func (k TicketKey) Text() string { return ticketKind.Text(k.secret) }

// ParseTicketKey reads what a key file holds, as keyfile.Kind has it.
func ParseTicketKey(text []byte) (TicketKey, error) {
	s, err := ticketKind.Parse(text)
	return TicketKey{s}, err
}

// ticketPeriod is how long tickets are encrypted with one key.
const ticketPeriod = time.Hour

// ticketPeriods is for how many periods after its own a ticket can be used. Whoever comes back later makes a full
// handshake, which hardly matters at that rate.
const ticketPeriods = 8

// derive gives the keys that are in force in a period, counted from 1970: the first encrypts, all decrypt. The last is
// the next period's, of instances whose clocks are ahead.
//
//	HKDF-SHA256(secret, info "userinfo TLS session tickets " period)
func (k TicketKey) derive(period int64) [][32]byte {
	var keys [][32]byte
	add := func(of int64) {
		key, err := hkdf.Key(sha256.New, k.secret[:], nil, "userinfo TLS session tickets "+strconv.FormatInt(of, 10), 32)
		if err != nil {
			panic("deriving 32 bytes, as many as SHA-256 gives: " + err.Error())
		}
		keys = append(keys, [32]byte(key))
	}
	for of := period; of >= period-ticketPeriods; of-- {
		add(of)
	}
	add(period + 1)
	return keys
}

// tickets keep the ticket keys of configurations those of the time. The zero tickets do nothing: crypto/tls then makes
// keys of its own, which no other process has.
type tickets struct {
	key    *TicketKey
	config *tls.Config

	period atomic.Int64 // of the keys in config
	mu     sync.Mutex   // of who sets them
}

// keep is called before each handshake, so that no clock need wake anybody.
func (t *tickets) keep(now time.Time) {
	if t.key == nil {
		return
	}
	period := now.Unix() / int64(ticketPeriod/time.Second)
	if t.period.Load() == period {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.period.Load() == period {
		return
	}
	t.config.SetSessionTicketKeys(t.key.derive(period)) // handshakes under way go on with those they have
	t.period.Store(period)
}

// withoutTickets is c for clients of TLS 1.2, whose tickets hold what decrypts their connections: with the key of one,
// recorded ones could be read.
func withoutTickets(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.SessionTicketsDisabled = true
	return c
}

// configFor is the configuration for a client: that of TLS 1.3, or of what is allowed beside it.
func (s *state) configFor(hello *tls.ClientHelloInfo, now time.Time) *tls.Config {
	if !slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
		return s.old
	}
	s.tickets.keep(now)
	return s.config
}
