// Package tlsconf holds the TLS settings of the service's listener and of its connections to Cassandra, and, under TLS,
// the PROXY protocol. They come from files and can be read again while connections are made.
//
// Invariants:
//   - What is in force was read and checked as a whole: the key belongs to the certificate, every certificate is
//     within its dates, a CA bundle holds CAs only. A reload that fails in any file changes nothing.
//   - A peer is always verified: there is no setting that turns it off. A client of the listener may come without a
//     certificate (it then needs another credential, which is not decided here), never with one that does not verify.
//   - A client's certificate is judged again at each request (Authorities): its CA may have been taken away since its
//     connection was made, and it may have expired or been revoked.
//   - TLS 1.2, where it is allowed, is allowed with ephemeral keys and AEAD suites only, and without session tickets.
//   - Whoever has the ticket key can be any client that is known by a certificate; a resumed session is otherwise worth no
//     more than a new one: the certificate in it is judged again, by TLS and at each request.
//   - A private key is in memory only as crypto/tls holds it, and in no error.
//   - A PROXY protocol header is believed from listed addresses alone; what another sends never has a meaning.
//
// It does not defend against: a key file that others can read; a CA that issues no further revocation list, so that the
// service goes on with the last (Expiries tells); a listed proxy that lies about addresses, or passes on what clients send
// without a header of its own; somebody who can send from its address.
package tlsconf

import (
	"crypto/tls"
	"time"
)

// FieldError is an error in what one field of a ServerFiles or ClientFiles says or points to.
type FieldError struct {
	Field string // as in the configuration, such as "client_ca"
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

// Expiry says when something in force stops being valid.
type Expiry struct {
	File     string    // its role: "server", "client_ca", "client_ca_NAME", "crls[N]", "cassandra_ca" or "cassandra_client"
	NotAfter time.Time // of a chain or bundle, the earliest
}

// aeadSuites are the TLS 1.2 suites with forward secrecy and an AEAD cipher, which are those that RFC 9113 (appendix A)
// does not forbid for HTTP/2. TLS 1.3 has no others and takes no list.
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
