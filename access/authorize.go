package access

import "fmt"

// Caller proves that Authorize allowed one client one operation on one key. The zero Caller proves nothing.
type Caller struct {
	client string
	grant  Grant
	key    Key
}

// Client returns the name of the client in the configuration, or Anonymous. It is not secret.
func (c Caller) Client() string { return c.client }

// Format prints the client and the grant, whatever the verb, and never the key. Without Format, fmt would print the key,
// because it does not call methods on unexported fields.
func (c Caller) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s for %s on %s", c.client, c.grant, redacted)
}

// Check returns nil if c was made for exactly this grant and key. It fails closed: for the zero Caller, and for another grant
// or key, it returns ErrDenied.
func (c Caller) Check(grant Grant, key Key) error {
	if c.client == "" || c.grant == "" || c.grant != grant || c.key != key {
		return ErrDenied
	}
	return nil
}

// Authorize decides whether id may do what grant names, and returns the proof. For a grant on a collection, key is the
// session key; for a grant on Passwords, it is the user name; for other grants it is empty. Authorize is the only function
// that makes a Caller.
//
// It fails closed. It returns ErrDenied for the zero Identity, an unknown grant, a client without the grant, an empty key
// on a collection and a key outside the client's patterns. If the audience does not admit id, it returns the error of
// Admit. If an alternative holds that needs no client, no grant is needed, and a request without a client gets the name
// Anonymous.
func Authorize(id Identity, grant Grant, key Key) (Caller, error) {
	if id.policy == nil {
		return Caller{}, ErrDenied
	}
	on, known := id.policy.resources[grant]
	if !known {
		return Caller{}, ErrDenied
	}
	open, err := on.audience.admits(id)
	if err != nil {
		return Caller{}, err
	}
	if on.hasKeys && key == "" {
		return Caller{}, ErrDenied
	}
	if open {
		name := id.Client()
		if name == "" {
			name = Anonymous
		}
		return Caller{client: name, grant: grant, key: key}, nil
	}
	if id.client == nil || !id.client.grants[grant] {
		return Caller{}, fmt.Errorf("%w: no grant", ErrDenied)
	}
	if on.hasKeys && !id.client.mayUse(key, id.names) {
		return Caller{}, fmt.Errorf("%w: outside its key patterns", ErrDenied)
	}
	return Caller{client: id.client.name, grant: grant, key: key}, nil
}

// Admit decides whether an audience admits id. It does not check grants. It fails closed: for the zero Identity and for an
// audience that is not listed it returns ErrDenied. If the request has no client, and an alternative asks for a credential,
// it returns ErrUnauthenticated.
func Admit(id Identity, audience string) error {
	if id.policy == nil {
		return ErrDenied
	}
	_, err := id.policy.audiences[audience].admits(id)
	return err
}
