package tlsconf

import (
	"crypto/tls"
	"errors"
	"slices"
	"sync"
)

// ListenerConfig returns the configuration of one TLS listener. Every handshake uses the Server that current returns when
// the handshake begins, so replacing the Server reloads the listener. Open connections stay open.
//
// net/http reads the protocol versions and ALPN protocols of the returned configuration only once. They come from the
// Server that current returns during the call of ListenerConfig.
//
// Session tickets survive a reload: they are encrypted with keys derived from the Server's TicketKey or, without one,
// with keys that crypto/tls keeps for the returned configuration. On resumption, crypto/tls checks again that the client's
// certificate has not expired and that its chain ends in a client CA of the current Server; if not, it does a full
// handshake. TLS 1.2 has no tickets.
//
// It fails closed: while current returns nil, every handshake fails.
func ListenerConfig(current func() *Server) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if s := current(); s != nil {
		config = s.base.Clone()
	}
	config.GetConfigForClient = (&listener{current: current}).configForClient
	return config
}

// listener chooses the configuration of each handshake.
type listener struct {
	current func() *Server

	// The last configuration with ticket keys, and what it was made for.
	mu     sync.Mutex
	config *tls.Config
	server *Server
	hour   int64
}

// configForClient is the tls.Config.GetConfigForClient hook. It fails closed: without a Server it returns an error.
func (l *listener) configForClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	s := l.current()
	switch {
	case s == nil:
		return nil, errors.New("no TLS settings are loaded")
	case !slices.Contains(hello.SupportedVersions, tls.VersionTLS13):
		return s.tls12, nil
	case s.ticketKey == nil:
		return s.tls13, nil // crypto/tls uses the ticket keys of the listener's own configuration
	}
	return l.withTicketKeys(s), nil
}

// withTicketKeys returns the TLS 1.3 configuration of s with the ticket keys of the current hour.
func (l *listener) withTicketKeys(s *Server) *tls.Config {
	hour := ticketHour(s.now())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.server != s || l.hour != hour {
		config := s.tls13.Clone()
		config.SetSessionTicketKeys(s.ticketKey.derive(hour))
		l.config, l.server, l.hour = config, s, hour
	}
	return l.config
}
