package tlsconf

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// TicketKey is the secret from which instances that share it derive the keys of TLS session tickets, so that a client can
// resume with one what it began with another. It prints as [redacted].
//
// What it is worth: whoever has it can make tickets, and with them be any client that is known by a certificate of the
// service's CAs, without that client's key; so it is as secret as the key of a CA. It opens no recorded connection: sessions are of
// TLS 1.3 alone, and resumed with ephemeral keys (psk_dhe_ke, RFC 8446, section 2.2).
type TicketKey struct{ bytes [ticketKeyBytes]byte }

func (TicketKey) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte("[redacted]")) }
func (TicketKey) LogValue() slog.Value         { return slog.StringValue("[redacted]") }
func (TicketKey) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// ticketKeyPrefix begins a key's file, so that no other kind of key is taken for it. The 1 is the file's format.
const ticketKeyPrefix = "userinfo-ticket-key-1:"

const ticketKeyBytes = 32

// NewTicketKey makes a key from random, which must be cryptographically strong.
func NewTicketKey(random io.Reader) (k TicketKey, err error) {
	if _, err := io.ReadFull(random, k.bytes[:]); err != nil {
		return TicketKey{}, fmt.Errorf("reading randomness for a key: %w", err)
	}
	return k, nil
}

// Text is what a key file holds. It reveals the key.
func (k TicketKey) Text() string {
	return ticketKeyPrefix + base64.StdEncoding.EncodeToString(k.bytes[:])
}

// ParseTicketKey reads what a key file holds: the key's Text and, perhaps, a line end. It fails closed: whatever is not
// exactly one key is none. Its errors quote nothing of it.
func ParseTicketKey(text []byte) (TicketKey, error) {
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	encoded, ok := strings.CutPrefix(line, ticketKeyPrefix)
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(decoded) != ticketKeyBytes || strings.ContainsAny(encoded, "\r\n") { // the decoder skips line ends
		return TicketKey{}, errors.New("the file does not hold one ticket key and nothing else, as `userinfo key new ticket` prints it")
	}
	return TicketKey{[ticketKeyBytes]byte(decoded)}, nil
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
		key, err := hkdf.Key(sha256.New, k.bytes[:], nil, "userinfo TLS session tickets "+strconv.FormatInt(of, 10), 32)
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
