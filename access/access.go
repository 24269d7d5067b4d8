// Package access decides who a request comes from and what it may do.
//
//	Credentials ──Authenticate──▶ Identity ──Admit──▶ may it come in this way? (the audience's protections)
//	                                └─Authorize─▶ Caller ──▶ every store call (the same, and grant and key)
//
// Invariants:
//
//  1. A Caller can be made by Authorize alone, and is good for one operation on one key. The zero Caller is
//     good for nothing.
//  2. Whatever is not granted is denied: an audience that is not listed, no alternative of it that holds, no client, no
//     grant, no matching key pattern, an empty key, an unknown certificate, one that is expired or revoked or of another
//     CA than the client's, a token from outside its networks.
//  3. A credential that was sent and is wrong is never ignored because another one is right. (A verified certificate
//     whose names are no client's is not wrong: it says who somebody is, not that they may do anything.)
//  4. All credentials of a request are one client's, or it is refused.
//  5. A Policy never changes once made. To change the rules, make another and swap it.
//
// It does not verify certificates or signatures (that was done before there is Credentials) and does not protect a client
// from whoever holds its private key or its token.
package access

import (
	"errors"
	"fmt"
)

// Reasons for a refusal. None of them carries a key or a credential.
var (
	// ErrMalformed: the credentials cannot be read as what they claim to be, or there are several of a kind.
	ErrMalformed = errors.New("malformed credentials")
	// ErrUnauthenticated: there is no credential, or none that is known, current and used from where it may be.
	ErrUnauthenticated = errors.New("not identified")
	// ErrConflict: one credential names one client and another credential another.
	ErrConflict = errors.New("credentials name different clients")
	// ErrDenied: the client is known and may not do this, or not in this way.
	ErrDenied = errors.New("denied")
)

// Action is what a grant allows on its resource.
type Action string

// The actions. Get is the only one that resources other than collections have.
const (
	Get    Action = "get"
	Set    Action = "set"
	Touch  Action = "touch"
	Delete Action = "delete"
)

// Resources that every installation has beside its collections. They have no keys. Each resource, and each collection,
// is an audience of the same name.
const (
	Metrics = "metrics"
	OpenAPI = "openapi"
	// Health is /healthz and /readyz. There are no grants on it: its audience decides alone.
	Health = "health"
)

// Grant is a permission as the configuration spells it: "sessions:get".
type Grant string

// GrantOn is the permission for action on resource.
func GrantOn(resource string, action Action) Grant {
	return Grant(resource + ":" + string(action))
}

// Caller is proof that Authorize allowed one client one operation on one key. Its zero value is denied everywhere.
type Caller struct {
	client string
	grant  Grant
	key    Key
}

// Client is the configured name of the client; it is no secret.
func (c Caller) Client() string { return c.client }

// Format prints client and grant under every verb. Without it fmt would show the key, as it does not ask unexported
// fields how they want to be printed.
func (c Caller) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s for %s on %s", c.client, c.grant, redacted)
}

// Check tells whether c was made for exactly this grant and key. It fails closed: the zero Caller, and one
// made for another operation or key, are ErrDenied.
func (c Caller) Check(grant Grant, key Key) error {
	if c.client == "" || c.grant == "" || c.grant != grant || c.key != key {
		return ErrDenied
	}
	return nil
}

// Anonymous is the Caller's client where an audience is open to those who prove nothing. No client can be called so.
const Anonymous = "anybody"

// Authorize tells whether id may do what grant names, on key where the resource is a collection. It is the only
// function that makes a Caller. It fails closed: the zero Identity, a grant that no resource has, an audience that does not
// admit id (as Admit tells), a client without the grant, an empty key on a collection and a key outside the client's
// patterns are refused, as ErrDenied unless Admit says otherwise.
func Authorize(id Identity, grant Grant, key Key) (Caller, error) {
	if id.policy == nil {
		return Caller{}, ErrDenied
	}
	on, known := id.policy.resources[grant]
	if !known {
		return Caller{}, ErrDenied
	}
	anybody, err := on.audience.admits(id)
	if err != nil {
		return Caller{}, err
	}
	if on.keyed && key == "" {
		return Caller{}, ErrDenied
	}
	if anybody {
		return Caller{client: orAnybody(id.Client()), grant: grant, key: key}, nil
	}
	if id.client == nil || !id.client.grants[grant] {
		return Caller{}, fmt.Errorf("%w: no grant", ErrDenied)
	}
	if on.keyed && !id.client.owns(key, id.names) {
		return Caller{}, fmt.Errorf("%w: outside its key patterns", ErrDenied)
	}
	return Caller{client: id.client.name, grant: grant, key: key}, nil
}

// Admit tells whether the audience of that name lets id in, whatever it is then granted. It fails closed: the zero
// Identity and an audience that is not listed are ErrDenied. Where a credential is missing that would be taken it is
// ErrUnauthenticated.
func Admit(id Identity, audience string) error {
	if id.policy == nil {
		return ErrDenied
	}
	_, err := id.policy.audiences[audience].admits(id)
	return err
}

func orAnybody(client string) string {
	if client == "" {
		return Anonymous
	}
	return client
}
