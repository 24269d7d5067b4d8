package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"userinfo/access"
	"userinfo/passwords"
	"userinfo/store"
)

// problemBase begins the type of every problem.
const problemBase = "urn:userinfo:problem:"

// problem is a problem document (RFC 9457), and how it is sent.
type problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"`

	retryAfter      int  // value of the Retry-After header in seconds; 0 means no header
	closeConnection bool // because the body was not read
	unreadBody      bool // the same, if the request has a body
}

// problemError is an error with its own problem document.
type problemError struct{ problem }

// Error implements error.
func (e *problemError) Error() string { return e.Type[len(problemBase):] + ": " + e.Detail }

func newProblem(status int, name, title, detail string) *problemError {
	return &problemError{problem{Type: problemBase + name, Title: title, Status: status, Detail: detail}}
}

// asError returns a problemError for an entry of sharedProblems.
func (p problem) asError() *problemError {
	p.Type = problemBase + p.Type
	return &problemError{p}
}

// shared returns the problem as an entry of sharedProblems.
func (e *problemError) shared() problem {
	p := e.problem
	p.Type = strings.TrimPrefix(p.Type, problemBase)
	return p
}

// notReady returns an entry of sharedProblems for an instance that cannot serve now.
func notReady(detail string) problem {
	return problem{Type: "not-ready", Title: "Not ready", Status: http.StatusServiceUnavailable, Detail: detail, retryAfter: 1}
}

func badRequest(detail string) error {
	return newProblem(http.StatusBadRequest, "bad-request", "Bad request", detail)
}

func tooLarge(limit int64) error {
	e := newProblem(http.StatusRequestEntityTooLarge, "value-too-large", "Value too large",
		"A value of this collection has at most "+strconv.FormatInt(limit, 10)+" bytes.")
	e.closeConnection = true
	return e
}

func malformedSignature(err error) error {
	return newProblem(http.StatusBadRequest, "malformed-credentials", "Malformed credentials",
		"The signature of the request cannot be used: "+err.Error()+".")
}

// withoutBody returns e for a request whose body, if it has one, is not read. Then the connection is closed over HTTP/1.1,
// because net/http would otherwise wait for the body before it sends the response.
func withoutBody(e *problemError) *problemError {
	p := e.problem
	p.unreadBody = true
	return &problemError{p}
}

// Problems that this package finds. The problems with status 429 are in limiter.go.
var (
	errEmptyValue     = badRequest("The body is empty. A value has at least one byte. Use DELETE to remove a value.")
	errIncompleteBody = badRequest("The body ended before it was complete.")
	errAuthority      = badRequest("The Host header or :authority is missing, sent twice, or not a host name or IP address with an optional port.")
	errNoResource     = newProblem(http.StatusNotFound, "no-such-resource", "No such resource",
		"There is nothing at this path. A key is one path segment: write a slash in a key as %2F.")
	errMethodNotAllowed = newProblem(http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed",
		"This resource does not have this method. The Allow header lists its methods.")
	errKeyTooLong = newProblem(http.StatusRequestURITooLong, "key-too-long", "Key too long",
		fmt.Sprintf("A key has at most %d bytes after percent-decoding.", MaxKeyBytes))
	errSlowBody = &problemError{problem{Type: problemBase + "too-slow", Title: "Request too slow",
		Status: http.StatusRequestTimeout, Detail: "The body did not arrive in time.", closeConnection: true}}
	errOverloaded = &problemError{problem{Type: problemBase + "overloaded", Title: "Overloaded",
		Status: http.StatusServiceUnavailable, Detail: "Too many requests are in flight. Nothing was done.", retryAfter: 1}}
	errTooManyBytes = &problemError{problem{Type: problemBase + "overloaded", Title: "Overloaded",
		Status: http.StatusServiceUnavailable, Detail: "The requests in flight hold too many bytes. Nothing was done.", retryAfter: 1}}
	errAuditUnavailable = &problemError{problem{Type: problemBase + "audit-unavailable", Title: "Audit log unavailable",
		Status: http.StatusServiceUnavailable, Detail: "This request must leave an audit record, and none can be written now. Nothing was done.", retryAfter: 5}}
	errStopping  = notReady("This instance is shutting down.").asError()
	errNotReady  = notReady("This instance cannot read the database.").asError()
	errForwarded = newProblem(http.StatusBadRequest, "malformed-credentials", "Malformed credentials",
		"A header that names the client, such as Client-Cert or X-Forwarded-Client-Cert, is accepted from a trusted proxy only, once, in the form of RFC 9440. Send none.")
	errForwardedXFCC = newProblem(http.StatusBadRequest, "malformed-credentials", "Malformed credentials",
		"This proxy must forward the client's certificate in one element of X-Forwarded-Client-Cert, and no other header. Configure Envoy with "+
			"forward_client_cert_details: SANITIZE_SET and set_current_client_cert_details: {cert: true, chain: true}.")
	errInternal = newProblem(http.StatusInternalServerError, "internal", "Internal error",
		"This is a fault of the service. Its log has details under this instance.")
)

// sharedProblems maps errors of packages access, passwords and store to problems. The first entry that matches an error
// counts.
var sharedProblems = []struct {
	err     error
	problem problem
}{
	{access.ErrMalformed, problem{Type: "malformed-credentials", Title: "Malformed credentials", Status: http.StatusBadRequest,
		Detail: "Send one Authorization header of the form \"Bearer <token>\", or none together with a client certificate or a signature."}},
	{access.ErrConflict, problem{Type: "conflicting-credentials", Title: "Conflicting credentials", Status: http.StatusBadRequest,
		Detail: "The credentials belong to different clients. Send the credentials of one client."}},
	{access.ErrUnauthenticated, problem{Type: "unauthenticated", Title: "Unauthenticated", Status: http.StatusUnauthorized,
		Detail: "Send the certificate, the bearer token or the signature of a configured client."}},
	{access.ErrDenied, problem{Type: "forbidden", Title: "Forbidden", Status: http.StatusForbidden,
		Detail: "This client may not do this, not with these credentials, or not with this key."}},
	{access.ErrMisdirected, problem{Type: "misdirected-request", Title: "Misdirected request", Status: http.StatusMisdirectedRequest,
		Detail: "The Host header or :authority is not a name of this service. Use a name in its certificate, or let its operators add this name, and for signed requests its port, to authorities in the configuration."}},
	{passwords.ErrWrong, problem{Type: "wrong-password", Title: "Wrong password", Status: http.StatusForbidden,
		Detail: "The password or the reset token is wrong, or there is no such user."}},
	{passwords.ErrTooManyGuesses, guessesError(1).shared()},
	{passwords.ErrWeak, problem{Type: "weak-password", Title: "Weak password", Status: http.StatusUnprocessableEntity,
		Detail: "The new password is too weak."}},
	{passwords.ErrPassword, problem{Type: "bad-request", Title: "Bad request", Status: http.StatusBadRequest,
		Detail: "A password is UTF-8, has 1 to 4096 bytes after normalisation, no zero byte, and at most 30 combining characters in a row."}},
	{passwords.ErrHash, problem{Type: "bad-request", Title: "Bad request", Status: http.StatusBadRequest,
		Detail: "This is not a password hash of MediaWiki that this service verifies, or it needs more work than the service allows. At level debug, the log has the reason under this instance."}},
	{passwords.ErrExists, problem{Type: "user-exists", Title: "The user exists", Status: http.StatusPreconditionFailed,
		Detail: "The user has a password already. Nothing was changed."}},
	{passwords.ErrDeleted, problem{Type: "user-deleted", Title: "The user was deleted", Status: http.StatusPreconditionFailed,
		Detail: "The user was deleted here, and an import does not bring him back. Nothing was changed."}},
	{passwords.ErrNotEverywhere, problem{Type: "not-everywhere", Title: "Changed, but not yet everywhere", Status: http.StatusServiceUnavailable,
		Detail: "In this datacentre the change is in force: the new password holds, or the user is deleted. Another datacentre has not confirmed it and may still accept the old password. The service finishes the change.", retryAfter: 5}},
	{passwords.ErrBusy, problem{Type: "overloaded", Title: "Overloaded", Status: http.StatusServiceUnavailable,
		Detail: "Too many password hashes are being computed. Nothing was done.", retryAfter: 1}},
	{store.ErrNotFound, problem{Type: "not-found", Title: "Not found", Status: http.StatusNotFound,
		Detail: "There is no value under this key."}},
	{store.ErrDeleted, problem{Type: "deleted", Title: "Deleted recently", Status: http.StatusConflict,
		Detail: "This key was deleted recently and stays deleted. Use a new key."}},
	{store.ErrNotEverywhere, problem{Type: "not-everywhere", Title: "Deleted, but not yet everywhere", Status: http.StatusServiceUnavailable,
		Detail: "The value is deleted in this datacentre. Another datacentre has not confirmed the delete and may still have the value. The service finishes the delete. Repeat the request to learn when every datacentre has it.", retryAfter: 5}},
	{store.ErrKey, problem{Type: "bad-request", Title: "Bad request", Status: http.StatusBadRequest,
		Detail: "This collection cannot have such a key: its keys are UTF-8."}},
	{store.ErrTTL, problem{Type: "bad-request", Title: "Bad request", Status: http.StatusBadRequest,
		Detail: "The TTL is longer than this collection allows, or ends on a date that the store cannot represent."}},
	{store.ErrTooLarge, problem{Type: "value-too-large", Title: "Value too large", Status: http.StatusRequestEntityTooLarge,
		Detail: "The database does not accept a value of this size, although the collection allows it. Nothing was stored."}},
	{store.ErrFull, problem{Type: "full", Title: "Store is full", Status: http.StatusServiceUnavailable,
		Detail: "There is no room for another value. Nothing was stored.", retryAfter: 5}},
	{store.ErrOverloaded, problem{Type: "overloaded", Title: "Overloaded", Status: http.StatusServiceUnavailable,
		Detail: "Too many large values are being read or written. Nothing was done.", retryAfter: 1}},
	{store.ErrSchemaDiffers, notReady("The schema of the database differs from what this instance needs. Nothing was done.")},
	{store.ErrNotConnected, notReady("This instance has not reached its database yet. Nothing was done.")},
	{store.ErrNotReady, notReady("This instance is starting. Nothing was done.")},
	{store.ErrSealed, problem{Type: "internal", Title: "Internal error", Status: http.StatusInternalServerError,
		Detail: "There is a value under this key, but it cannot be read. The service's log has details under this instance."}},
	{store.ErrUnavailable, problem{Type: "unavailable", Title: "Store unavailable", Status: http.StatusServiceUnavailable,
		Detail: "Too few replicas answered in time. The request may or may not have taken effect.", retryAfter: 1}},
}

// problemFor returns the problem for err. It fails closed: the client of an unknown error learns nothing about it.
func problemFor(err error) problem {
	var own *problemError
	if errors.As(err, &own) {
		return own.problem
	}
	for _, shared := range sharedProblems {
		if errors.Is(err, shared.err) {
			p := shared.problem
			p.Type = problemBase + p.Type
			return p
		}
	}
	return errInternal.problem
}

// send writes the response: status, headers and document.
func (p problem) send(w http.ResponseWriter, requestID string) {
	p.Instance = "urn:uuid:" + requestID
	body, err := json.Marshal(p)
	if err != nil {
		panic("encoding a problem document: " + err.Error()) // impossible: it has strings and numbers only
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set(requestIDHeader, requestID)
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // an error means that the client has left
}
