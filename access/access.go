// Package access authenticates the client of a request and decides what it may do.
//
//	Credentials ──Authenticate──▶ Identity ──Authorize──▶ Caller ──▶ every call of the store
//	                                  └──────Admit──────▶ may the request use this resource at all?
//
// Each security decision is one function:
//
//	Policy.Authenticate   which client sent the request
//	Policy.IsProxy        may the sender forward certificates of clients, and in which header
//	Admit                 does the request satisfy the access rules of an audience
//	Authorize             may the client do one operation on one key
//	Authorities.Check     is the request for this service
//	Caller.Check          is the Caller for this operation and key (the store calls it)
//
// # Terms
//
// A client is an entry of the configuration. It has credentials (certificates, tokens, signature keys), groups, grants such
// as "sessions:get" and patterns of the keys that it may use.
//
// An audience is the access rule set of one resource: a collection, metrics, openapi, operators or health. It is a list of
// alternatives; one must hold. An alternative is a list of requirements, called protections, such as "certificate" or
// "network"; all must be met. After that, the client's grants and key patterns decide, unless the alternative that holds
// needs no client: then no grant is needed.
//
// # Invariants
//
//  1. Only Authorize makes a Caller, and a Caller is valid for one operation on one key. The zero Caller is valid for
//     nothing.
//  2. What is not allowed is denied. This includes an audience that is not listed, an audience without an alternative
//     that holds, a request without a client (unless an alternative accepts requests without a client), a missing grant, a key outside the
//     client's patterns, an empty key, a certificate that is expired or revoked or signed by another CA, and a token from
//     outside its networks.
//  3. A wrong credential is never ignored because another credential is right. (A verified certificate that belongs to no
//     client is not wrong. It proves who the sender is, but gives no access.)
//  4. All credentials of a request belong to the same client, or the request is rejected.
//  5. A Policy never changes. To change the rules, make a new Policy and use it for new requests.
//
// The package does not verify certificates and signatures: its caller does this before it fills in Credentials. It does not
// protect a client from somebody who has the client's private key or token.
package access

import (
	"errors"
)

// Reasons for rejecting a request. No error contains a key or a credential.
var (
	// ErrMalformed means that a credential cannot be parsed, or that a credential was sent more than once.
	ErrMalformed = errors.New("malformed credentials")
	// ErrUnauthenticated means that a required credential is missing, or that a credential is unknown, expired, revoked or
	// used from outside its networks.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrConflict means that two credentials belong to different clients.
	ErrConflict = errors.New("credentials of different clients")
	// ErrDenied means that the rules do not allow the request.
	ErrDenied = errors.New("denied")
	// ErrMisdirected means that the request is for another service.
	ErrMisdirected = errors.New("misdirected request")
)

// Action is an operation on a resource.
type Action string

// The actions of collections. Metrics, OpenAPI and Operators only have Get.
const (
	Get    Action = "get"
	Set    Action = "set"
	Touch  Action = "touch"
	Delete Action = "delete"
)

// The actions of Passwords, which also has Delete.
const (
	Verify Action = "verify" // is this the password of the user
	Change Action = "change" // replace a password that the request contains, or use a reset token
	Create Action = "create" // make a user
	Import Action = "import" // make a user with a hash
	Reset  Action = "reset"  // make a reset token
)

// PasswordActions are all actions of Passwords.
var PasswordActions = []Action{Verify, Change, Create, Import, Reset, Delete}

// Passwords is the resource of the users' passwords. Its keys are user names. Like a collection, it is for clients only.
const Passwords = "passwords"

// Resources that exist in addition to the collections. They have no keys.
const (
	Metrics = "metrics"
	OpenAPI = "openapi"
	// Operators is the resource of what operators may know about the use of the service, such as the most rewritten keys as keyed
	// hashes. Like a collection, it is for clients only.
	Operators = "operators"
	// Health is the resource of /healthz and /readyz. It has no grants: its audience alone decides.
	Health = "health"
)

// Grant is the permission for one action on one resource, as the configuration spells it: "sessions:get".
type Grant string

// GrantOn returns the grant for action on resource.
func GrantOn(resource string, action Action) Grant {
	return Grant(resource + ":" + string(action))
}

// Anonymous is the Caller.Client of requests without a client. No client may have this name.
const Anonymous = "anybody"
