// Package signature makes and verifies signatures of requests: a profile of RFC 9421 (HTTP Message Signatures), with
// RFC 9530 (Content-Digest) for the body.
//
//	Signature-Input: LABEL=("@method" "@authority" "@target-uri" "ttl" "content-digest");created=N;nonce="…";keyid="…"
//	Signature:       LABEL=:base64 of the signature of the base:
//	Content-Digest:  sha-256=:base64:
//
//	                      Signature-Input, Signature        what was sent
//	Request ──parse──▶ components, parameters ──base──▶ text ──Key──▶ nonce memory ──▶ Verified ──CheckBody──▶ body
//
// The profile: one label; hmac-sha256 or ed25519; @method, @authority, and @target-uri or both of @path and @query are
// covered, content-digest too where there is a body and ttl where there is a TTL header; other header fields may be.
// created, nonce and keyid are required, expires and alg are honoured, other parameters are not known. Both header
// fields are in the canonical form of RFC 9651, section 4.1, so that nothing in them can be read in two ways.
//
// Invariants:
//
//  1. A Verified can be made by Verify alone, after everything but the body has held. The zero Verified is proof of nothing.
//  2. What is not in the profile is refused, never ignored: another component, a parameter of one, a second label.
//  3. A nonce is remembered only once its signature has verified, so strangers can neither use nonces up nor fill the
//     memory, and for as long as the signature would be good. A full memory refuses, and one key cannot fill another's.
//  4. A body counts for nothing until CheckBody has compared it with a digest that the signature covers.
//  5. Errors carry no key, no signature, no nonce, and nothing of the path.
//
// It does not defend against whoever holds the key, nor against a replay at another instance, or at this one after a
// restart: nonces are remembered in one process. What is not covered by a signature may have been changed on the way.
// How long a refusal takes tells which keyids there are.
package signature

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrMalformed is what the request alone decides, whatever the keys and the time: it has no signature that can be read,
// or one outside the profile. The text says what to change. It belongs with 400.
var ErrMalformed = errors.New("malformed signature")

// ErrRefused is each of the errors below. It belongs with 401; which one it was is for the log, not for the client.
var ErrRefused = errors.New("signature refused")

// Reasons for which a signature that is well formed is refused. Each is an ErrRefused.
var (
	ErrUnknownKey = fmt.Errorf("%w: no key has this keyid", ErrRefused)
	ErrAlgorithm  = fmt.Errorf("%w: the key is for another algorithm than alg names", ErrRefused)
	ErrStale      = fmt.Errorf("%w: created too long ago", ErrRefused)
	ErrFuture     = fmt.Errorf("%w: created too far in the future", ErrRefused)
	ErrExpired    = fmt.Errorf("%w: it has expired", ErrRefused)
	ErrInvalid    = fmt.Errorf("%w: it is not this key's signature of this request", ErrRefused)
	ErrReplayed   = fmt.Errorf("%w: the nonce has been used", ErrRefused)
	ErrBody       = fmt.Errorf("%w: the body is not the one that was signed", ErrRefused)
)

// ErrNoncesFull means that so many requests were signed with a key within the window that no more nonces of it can be
// remembered. The request is not served; it belongs with 503 and Retry-After. Other keys are not concerned.
var ErrNoncesFull = errors.New("too many requests signed with one key to remember their nonces")

// Header fields, as net/http spells them.
const (
	inputField     = "Signature-Input"
	signatureField = "Signature"
	digestField    = "Content-Digest"
	ttlField       = "Ttl"
)

// Limits of what is read. All are several times what is needed.
const (
	maxInputBytes     = 2048
	maxSignatureBytes = 512
	maxDigestBytes    = 512
	maxComponents     = 16
	// MaxIDBytes is the most that a keyid has, and a nonce.
	MaxIDBytes = 128
)

// Request is what a signature can cover of a request. Its path has a session key, so it prints as [redacted].
type Request struct {
	Method string
	// Authority is the Host header field or :authority, in any case and with or without https's default port.
	Authority string
	// Path is the path as it was sent, with its escapes (RFC 9421, section 2.2.6).
	Path string
	// Query is the query as it was sent, without its question mark; HasQuery tells whether there was one.
	Query    string
	HasQuery bool
	// Header has canonical names, as net/http makes it. It is not changed.
	Header http.Header
	// HasBody is false only where the request cannot have one: a body of unknown length is one.
	HasBody bool
}

// Format prints nothing of the request: fmt would show the path and the Authorization header.
func (Request) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// HasSignature tells whether a request claims to be signed: whether it has either header field of a signature.
func HasSignature(h http.Header) bool { return len(h[inputField]) > 0 || len(h[signatureField]) > 0 }

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}
