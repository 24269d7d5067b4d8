// Package tlsconf loads the TLS settings of the service's listener and of its connections to Cassandra. It limits what the
// listener's handshakes cost. It also reads the PROXY protocol header, which a load balancer sends in front of TLS.
//
//	files ──LoadServer──▶ *Server ──ListenerConfig──▶ *tls.Config of the listener
//	                         └─────VerifyChains─────▶ names of the client CAs, at each request
//	TCP ──NewProxyListener──▶ client's address ──Handshakes.Listener──▶ TLS ──VerifiedChains──▶ chains of the client
//	files ──LoadClient──▶ *Client ──Config──────────▶ *tls.Config of one connection to Cassandra
//
// A Server and a Client never change after they are loaded. To reload, call Changed; if it reports true, load again and
// replace the old value with the new one.
//
// Invariants:
//
//  1. All files are checked together before a Server or a Client exists: the key belongs to the certificate, every
//     certificate is within its validity period, and a CA bundle contains only CA certificates.
//  2. The peer's certificate is always verified. No setting turns this off. A client of the listener may connect
//     without a certificate (and must then send another credential), but never with one that fails verification.
//  3. A client's certificate is verified again at each request, by Server.VerifyChains, because it may have expired or
//     been revoked, and its CA may have been removed, since the connection was made.
//  4. TLS 1.2, if allowed, uses only ephemeral keys and AEAD cipher suites, and no session tickets.
//  5. A resumed session is verified like a new one: its ticket contains the client's certificates.
//  6. A private key is in memory only inside crypto/tls values. It is never part of an error.
//  7. A PROXY protocol header is accepted only from the listed networks.
//  8. A stranger's handshake costs at most a few times as much as a client's: internal/certchain bounds the signatures,
//     maxHandshakeBytes the certificates that crypto/tls parses, and baseConfig the key exchanges.
//  9. At most handshakeSlots handshakes compute at once. None of them waits for its peer meanwhile. The others wait in queues,
//     one for each address, and a handshake's deadline also ends its waiting.
//
// The package does not defend against:
//
//   - a private key or ticket key that somebody else can read. The ticket key is as sensitive as a CA key: with it,
//     anybody can forge the session of any client that authenticates with a certificate;
//   - a CA that stops publishing revocation lists. The last list stays in use, and Expiries shows when its next update
//     was due;
//   - many addresses that make cheap handshakes: each takes its turn. All clients behind a proxy that does not send their
//     addresses share one queue;
//   - a listed proxy that sends wrong addresses or passes on PROXY headers from its clients, and a host that can send
//     packets from a listed address.
package tlsconf

import (
	"crypto/tls"
	"time"
)

// FieldError is an error in one field of a ServerFiles, a ClientFiles or a ProxySource, or in the file that the field
// names.
type FieldError struct {
	Field string // the field's name in the configuration, such as "client_ca"
	Err   error
}

// Error returns the field name and the error text.
func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *FieldError) Unwrap() error { return e.Err }

// Expiry is the time when a loaded file stops being valid.
type Expiry struct {
	// File is the file's role: "server", "client_ca", "client_ca_NAME", "crls[N]", "cassandra_ca" or "cassandra_client".
	File string
	// NotAfter is the earliest expiry in the file. For a revocation list it is the time of its next update.
	NotAfter time.Time
}

// aeadSuites returns the TLS 1.2 cipher suites with forward secrecy and an AEAD cipher. They are also the suites that
// HTTP/2 allows (RFC 9113, appendix A). TLS 1.3 has only such suites, and crypto/tls does not let them be configured.
func aeadSuites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}
