package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"userinfo/access"
	"userinfo/store"
)

// problemBase begins the type of every problem; the README lists them.
const problemBase = "urn:userinfo:problem:"

// problem is an RFC 9457 problem document, and what goes with it.
type problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"`

	retryAfter int  // seconds; 0: no header
	close      bool // the connection is of no more use: the body was not read (HTTP/1.1)
}

// problemError is an error of this package that knows its problem, with a detail of its own.
type problemError struct{ problem }

func (e *problemError) Error() string { return e.Type[len(problemBase):] + ": " + e.Detail }

func newProblem(status int, name, title, detail string) *problemError {
	return &problemError{problem{Type: problemBase + name, Title: title, Status: status, Detail: detail}}
}

func badRequest(detail string) error {
	return newProblem(http.StatusBadRequest, "bad-request", "Bad request", detail)
}

func tooLarge(limit int64) error {
	e := newProblem(http.StatusRequestEntityTooLarge, "value-too-large", "Value too large",
		"A value of this collection has at most "+strconv.FormatInt(limit, 10)+" bytes.")
	e.close = true
	return e
}

// malformedSignature says what to change.
func malformedSignature(err error) error {
	return newProblem(http.StatusBadRequest, "malformed-credentials", "Malformed credentials",
		"The request is not signed as it must be: "+err.Error()+".")
}

// errManyMisses is what every tooManyMisses is.
var errManyMisses = errors.New("the client's budget of misses is used up")

// tooManyMisses has a Retry-After of its own.
func tooManyMisses(seconds int) error {
	e := &problemError{problem{Type: problemBase + "too-many-misses", Title: "Too many misses", Status: http.StatusTooManyRequests,
		Detail: "This client has asked for too many keys that are not there, or not its own. Nothing was done.", retryAfter: seconds}}
	return fmt.Errorf("%w: %w", errManyMisses, e)
}

// Problems of requests that never reach a store.
var (
	errNoValue = badRequest("The body is empty. A value has at least one byte; to remove one, use DELETE.")
	errCutBody = badRequest("The body ended before it was complete.")
	errNoRoute = newProblem(http.StatusNotFound, "no-such-resource", "No such resource",
		"There is nothing at this path. A key is one path segment: write a slash in it as %2F.")
	errMethod = newProblem(http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed",
		"This resource has other methods: see Allow.")
	errKeyTooLong = newProblem(http.StatusRequestURITooLong, "key-too-long", "Key too long",
		fmt.Sprintf("A key has at most %d bytes once decoded.", MaxKeyBytes))
	errSlowBody = &problemError{problem{Type: problemBase + "too-slow", Title: "Request too slow",
		Status: http.StatusRequestTimeout, Detail: "The body did not arrive in time.", close: true}}
	errOverloaded = &problemError{problem{Type: problemBase + "overloaded", Title: "Overloaded",
		Status: http.StatusServiceUnavailable, Detail: "Too many requests are in flight. Nothing was done.", retryAfter: 1}}
	errNotReady = &problemError{problem{Type: problemBase + "not-ready", Title: "Not ready",
		Status: http.StatusServiceUnavailable, Detail: "This instance does not want requests now.", retryAfter: 1}}
	errManyInFlight = &problemError{problem{Type: problemBase + "too-many-requests", Title: "Too many requests",
		Status: http.StatusTooManyRequests, Detail: "This client has too many requests in flight. Nothing was done.", retryAfter: 1}}
	errManyRequests = &problemError{problem{Type: problemBase + "too-many-requests", Title: "Too many requests",
		Status: http.StatusTooManyRequests, Detail: "This client asks too often. Nothing was done.", retryAfter: 1}}
	errManySigned = &problemError{problem{Type: problemBase + "too-many-requests", Title: "Too many requests",
		Status: http.StatusTooManyRequests, Detail: "Too many requests were signed with this key. Nothing was done.", retryAfter: 60}}
	errForwarded = newProblem(http.StatusBadRequest, "malformed-credentials", "Malformed credentials",
		"A header that says who the client is, such as Client-Cert, counts from a listed proxy alone, once, and as RFC 9440 has it. Send none.")
	errInternal = newProblem(http.StatusInternalServerError, "internal", "Internal error",
		"This is a fault of the service. Its log has more under this instance.")
)

// problems maps the errors of access and store to what clients are told of them. The first that an error is counts.
var problems = []struct {
	err error
	is  problem
}{
	{access.ErrMalformed, problem{Type: "malformed-credentials", Title: "Malformed credentials", Status: http.StatusBadRequest,
		Detail: "Send one Authorization header of the form \"Bearer <token>\", or none and a client certificate or a signature."}},
	{access.ErrConflict, problem{Type: "conflicting-credentials", Title: "Conflicting credentials", Status: http.StatusBadRequest,
		Detail: "The credentials belong to different clients. Send those of one."}},
	{access.ErrUnauthenticated, problem{Type: "unauthenticated", Title: "Unauthenticated", Status: http.StatusUnauthorized,
		Detail: "Come with the certificate, the bearer token or the signature of a configured client."}},
	{access.ErrDenied, problem{Type: "forbidden", Title: "Forbidden", Status: http.StatusForbidden,
		Detail: "This client may not do this, not in this way, or not with this key."}},
	{store.ErrNotFound, problem{Type: "not-found", Title: "Not found", Status: http.StatusNotFound,
		Detail: "There is no value under this key."}},
	{store.ErrDeleted, problem{Type: "deleted", Title: "Deleted a moment ago", Status: http.StatusConflict,
		Detail: "This key was deleted a moment ago and stays deleted. Use a new key."}},
	{store.ErrNotEverywhere, problem{Type: "not-everywhere", Title: "Deleted, but not yet everywhere", Status: http.StatusServiceUnavailable,
		Detail: "The value is deleted in this datacentre. Another has not confirmed it and may still have it: ask again.", retryAfter: 5}},
	{store.ErrKey, problem{Type: "bad-request", Title: "Bad request", Status: http.StatusBadRequest,
		Detail: "This collection cannot have such a key: its keys are UTF-8."}},
	{store.ErrTTL, problem{Type: "bad-request", Title: "Bad request", Status: http.StatusBadRequest,
		Detail: "The TTL is longer than this collection, or the date it would end on, allows."}},
	{store.ErrFull, problem{Type: "full", Title: "Store is full", Status: http.StatusServiceUnavailable,
		Detail: "There is no room for another value. Nothing was stored.", retryAfter: 5}},
	{store.ErrSealed, problem{Type: "internal", Title: "Internal error", Status: http.StatusInternalServerError,
		Detail: "There is a value under this key, but it cannot be read. The service's log has more under this instance."}},
	{store.ErrUnavailable, problem{Type: "unavailable", Title: "Store unavailable", Status: http.StatusServiceUnavailable,
		Detail: "Too few replicas answered in time. What was asked for may or may not have been done.", retryAfter: 1}},
}

// problemFor is what a client is told of err. It fails closed: an error it does not know is an internal one,
// of which nothing is told.
func problemFor(err error) problem {
	var own *problemError
	if errors.As(err, &own) {
		return own.problem
	}
	for _, p := range problems {
		if errors.Is(err, p.err) {
			p.is.Type = problemBase + p.is.Type
			return p.is
		}
	}
	return errInternal.problem
}

// noRequests are the problems of what has come over HTTP/1.1 and is no request. Their details are http1's.
var noRequests = []problem{
	{Type: "bad-request", Title: "Bad request", Status: http.StatusBadRequest},
	{Type: "too-slow", Title: "Request too slow", Status: http.StatusRequestTimeout},
	{Type: "headers-too-large", Title: "Headers too large", Status: http.StatusRequestHeaderFieldsTooLarge},
	{Type: "http-version", Title: "HTTP version not supported", Status: http.StatusHTTPVersionNotSupported},
}

// refuse answers what is no request. Nobody has asked, so there is nothing to count or to log, as for a failed handshake.
func (a *API) refuse(w http.ResponseWriter, status int, detail string) {
	p := errInternal.problem
	if i := slices.IndexFunc(noRequests, func(p problem) bool { return p.Status == status }); i >= 0 {
		p = noRequests[i]
		p.Type, p.Detail = problemBase+p.Type, detail
	}
	p.send(w, (&exchange{api: a}).requestID())
}

// send writes the document. instance is the request's id.
func (p problem) send(w http.ResponseWriter, instance string) {
	p.Instance = instance
	body, err := json.Marshal(p)
	if err != nil {
		panic("a problem of strings and numbers is always JSON: " + err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that has left cannot be told
}
