// Package signature signs HTTP requests and verifies their signatures. It implements a profile of RFC 9421 (HTTP Message
// Signatures), with RFC 9530 (Content-Digest) for the body.
//
//	Signature-Input: LABEL=("@method" "@authority" "@target-uri" "ttl" "content-digest");created=N;nonce="…";keyid="…"
//	Signature:       LABEL=:BASE64 of the signature:
//	Content-Digest:  sha-256=:BASE64:
//
// Verifier.Verify is the security decision about a request, and Verified.CheckBody about its body:
//
//	headers ──parse──▶ components, parameters ──base──▶ text ──Key──▶ nonces ──▶ Verified ──CheckBody──▶ body
//
// The profile:
//
//   - one signature, with hmac-sha256 or ed25519;
//   - it covers @method, @authority, and @target-uri or both @path and @query. It covers content-digest if there is a body,
//     and ttl if there is a TTL header. It may cover other headers;
//   - the parameters created, nonce and keyid are required. expires and alg are optional. Other parameters are not supported;
//   - the headers are in the canonical form of RFC 9651, section 4.1, so that they cannot be read in two ways.
//
// Invariants:
//
//  1. Only Verify makes a Verified, after it has checked everything except the body. The zero Verified proves nothing.
//  2. What is not in the profile is rejected, never ignored: another component, a parameter of a component, a second label.
//  3. A nonce is remembered only after its signature is verified, and until the signature is too old. So a sender without a
//     key can neither use up nonces nor fill the memory. A full memory rejects requests, and one key cannot fill the memory of
//     another.
//  4. A body must not be used before CheckBody has compared it with a digest that the signature covers.
//  5. Errors contain no key, no signature, no nonce and nothing of the path.
//
// The package does not defend against somebody who has the key, and not against a replay to another instance, or to the same
// instance after a restart, because each process remembers only its own nonces. What a signature does not cover may have been
// changed on the way. The time of a rejection reveals which keyids exist.
package signature

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrMalformed means that the signature cannot be parsed or is outside the profile, whatever the keys and the time. The text says
// what to change. The response is 400 Bad Request.
var ErrMalformed = errors.New("malformed signature")

// ErrRefused means that a well-formed signature is not accepted. It wraps one of the errors below, which is for the log and not
// for the client. The response is 401 Unauthorized.
var ErrRefused = errors.New("signature refused")

// Reasons for an ErrRefused. errors.Is(err, ErrRefused) is true for each.
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

// ErrNoncesFull means that one key signed so many requests within the window that no more of its nonces can be remembered. Other
// keys are not affected. The response is 429 Too Many Requests.
var ErrNoncesFull = errors.New("too many requests were signed with this key; its nonces cannot be remembered")

// Headers, in canonical form.
const (
	inputField     = "Signature-Input"
	signatureField = "Signature"
	digestField    = "Content-Digest"
	ttlField       = "Ttl"
)

// Limits of what is parsed. Each is several times what is needed.
const (
	maxInputBytes     = 2048
	maxSignatureBytes = 512
	maxDigestBytes    = 512
	maxComponents     = 16
	// MaxIDBytes is the maximum length of a keyid and of a nonce.
	MaxIDBytes = 128
)

// Request is the part of a request that a signature can cover. Its path contains a session key, so it prints as [redacted].
type Request struct {
	Method string
	// Authority is the Host header or :authority, in upper or lower case, with or without the default port.
	Authority string
	// Path is the path as it was sent, not decoded (RFC 9421, section 2.2.6).
	Path string
	// Query is the query as it was sent, without the question mark. HasQuery reports whether there was a question mark.
	Query    string
	HasQuery bool
	// Header has canonical names, as net/http makes them. It is not changed.
	Header http.Header
	// HasBody is false only if the request has no body. It is true for a body of unknown length.
	HasBody bool
}

// redacted is what a Request prints as.
const redacted = "[redacted]"

// Format prints [redacted], whatever the verb. Without Format, fmt would print the path and the Authorization header.
func (Request) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// HasSignature reports whether h contains either header of a signature. The request must then be verified.
func HasSignature(h http.Header) bool { return len(h[inputField]) > 0 || len(h[signatureField]) > 0 }

// malformed returns an ErrMalformed with a message.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}
