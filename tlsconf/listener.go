package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
)

// ListenerConfig returns the configuration of one TLS listener. Every handshake uses the Server that current returns when
// the handshake begins, so replacing the Server reloads the listener. Open connections stay open.
//
// TLS must run on a listener of Handshakes, which limits what a handshake costs. After the handshake, VerifiedChains returns
// the chains of the client's certificate. ConnectionState.VerifiedChains is nil: crypto/tls does not verify clients'
// certificates here, because it would verify up to 100 signatures with keys that the client chose.
//
// net/http reads the protocol versions and ALPN protocols of the returned configuration only once. They come from the
// Server that current returns during the call of ListenerConfig.
//
// Session tickets survive a reload: they are encrypted with keys derived from the Server's TicketKey or, without one,
// with keys that crypto/tls keeps for the returned configuration. A session is resumed only if its client's certificates
// verify now, with the current Server; if not, there is a full handshake. TLS 1.2 has no tickets.
//
// It fails closed: while current returns nil, and on any other listener, every handshake fails.
func ListenerConfig(current func() *Server) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if s := current(); s != nil {
		config = s.base.Clone()
	}
	config.GetConfigForClient = (&listener{current: current, own: config}).configForClient
	return config
}

// listener chooses the configuration of each handshake.
type listener struct {
	current func() *Server
	own     *tls.Config // has the ticket keys of crypto/tls

	// The last configuration with ticket keys, and what it was made for.
	mu     sync.Mutex
	config *tls.Config
	server *Server
	hour   int64
}

// configForClient is the tls.Config.GetConfigForClient hook. It fails closed: without a Server, and for a connection that
// does not come from a listener of Handshakes, it returns an error.
func (l *listener) configForClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	s, conn := l.current(), handshakeConnOf(hello.Conn)
	switch {
	case s == nil:
		return nil, errors.New("no TLS settings are loaded")
	case conn == nil:
		return nil, errors.New("the handshakes of this listener are not limited")
	case !slices.Contains(hello.SupportedVersions, tls.VersionTLS13):
		return s.forConn(s.tls12, conn), nil
	case s.ticketKey == nil:
		return s.withTickets(s.forConn(s.tls13, conn), l.own), nil
	}
	keys := l.withTicketKeys(s)
	return s.withTickets(s.forConn(keys, conn), keys), nil
}

// forConn returns a copy of config for the handshake of conn. It verifies the client's certificates, also those of a
// resumed session. It fails closed: a certificate that does not verify ends the handshake.
func (s *Server) forConn(config *tls.Config, conn *handshakeConn) *tls.Config {
	config = config.Clone()
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			conn.verified(nil)
			return nil
		}
		chains, err := s.verifyClient(state.PeerCertificates)
		if err != nil {
			return conn.refuse(reasonOf(err), err)
		}
		conn.verified(chains)
		return nil
	}
	return config
}

// maxTicketCertificates is how many bytes of certificates a session ticket may contain. A ticket contains them twice: once
// in a form that only crypto/tls reads. With larger ones, a ClientHello with the ticket and the certificates of a full
// handshake could exceed maxHandshakeBytes.
const maxTicketCertificates = 4 << 10

// withTickets adds the client's certificates to the session tickets of config, which the ticket keys of keys encrypt, and
// returns config. It fails closed: a session is resumed only if its certificates verify now.
func (s *Server) withTickets(config, keys *tls.Config) *tls.Config {
	config.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		size := 0
		for _, c := range state.PeerCertificates {
			size += len(c.Raw)
			session.Extra = append(session.Extra, c.Raw)
		}
		if size > maxTicketCertificates {
			return []byte{0}, nil // not a ticket, so the next handshake is a full one
		}
		return keys.EncryptTicket(state, session)
	}
	config.UnwrapSession = func(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
		session, err := keys.DecryptTicket(ticket, state)
		if err != nil || session == nil || !s.resumes(session.Extra) {
			return nil, nil // a full handshake
		}
		return session, nil
	}
	return config
}

// resumes reports whether a session of a client with these certificates, in DER, may be resumed now. It fails closed, but
// without certificates it is true: VerifyConnection sees the certificates of every connection.
func (s *Server) resumes(certs [][]byte) bool {
	if len(certs) == 0 || s.trust != nil && s.trust.clients.Remembered(certs, s.now()) != nil {
		return true
	}
	var parsed []*x509.Certificate
	for _, der := range certs {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return false
		}
		parsed = append(parsed, c)
	}
	_, err := s.verifyClient(parsed)
	return err == nil
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
