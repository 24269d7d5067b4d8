package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"userinfo/access"
	"userinfo/passwords"
	"userinfo/store"
)

// PasswordsPath is the path of the resources of passwords.
const PasswordsPath = "/passwords/v1"

// passwordResource serves Config.Passwords:
//
//	POST    /passwords/v1/{user}/verify        is this the password?            passwords:verify
//	PUT     /passwords/v1/{user}               see passwordForms                passwords:change, create or import
//	POST    /passwords/v1/{user}/reset-token   make a reset token               passwords:reset
//	DELETE  /passwords/v1/{user}               delete the user                  passwords:delete
//
// Every request that access.Authorize has allowed leaves an audit record, and is not begun unless there is room for it.
type passwordResource struct {
	store  passwords.Store
	grants map[access.Action]access.Grant
}

// passwordRoutes returns the routes of passwords, if the service keeps passwords.
func (a *API) passwordRoutes() []*route {
	if a.config.Passwords == nil {
		return nil
	}
	p := &passwordResource{store: a.config.Passwords, grants: make(map[access.Action]access.Grant)}
	for _, action := range access.PasswordActions {
		p.grants[action] = access.GrantOn(access.Passwords, action)
	}
	user := PasswordsPath + keySuffix
	return []*route{
		{method: http.MethodPost, path: user + "/verify", passwords: true, handler: p.verify},
		{method: http.MethodPut, path: user, passwords: true, handler: p.put},
		{method: http.MethodPost, path: user + "/reset-token", passwords: true, handler: p.newResetToken},
		{method: http.MethodDelete, path: user, passwords: true, handler: p.delete},
	}
}

// enter authenticates the client, applies its limits, and decodes the user name. It fails closed.
func (p *passwordResource) enter(rs *requestState) (access.Key, error) {
	rs.w.Header().Set("Cache-Control", "no-store")
	if err := rs.enter(access.Passwords); err != nil {
		return "", err
	}
	user, err := parseKey(rs.segment)
	if err != nil {
		return "", err
	}
	rs.key = user
	return user, nil
}

// authorize checks that the client may do action with the user, and makes room for the audit record. It fails closed:
// without an error, the Caller is good for this action and user, and for no other.
func (p *passwordResource) authorize(rs *requestState, action access.Action, user access.Key) (access.Caller, error) {
	caller, err := access.Authorize(rs.identity, p.grants[action], user)
	rs.traceAccess(access.Passwords, action, err)
	if err != nil {
		return access.Caller{}, err
	}
	rs.authorized = true
	return caller, rs.reserveRecord()
}

// admit is enter and authorize.
func (p *passwordResource) admit(rs *requestState, action access.Action) (access.Caller, access.Key, error) {
	user, err := p.enter(rs)
	if err != nil {
		rs.traceAccess(access.Passwords, action, err)
		return access.Caller{}, "", err
	}
	caller, err := p.authorize(rs, action, user)
	return caller, user, err
}

// verify answers 204 if the password is right.
func (p *passwordResource) verify(rs *requestState) error {
	caller, user, err := p.admit(rs, access.Verify)
	if err != nil {
		return err
	}
	fields, err := rs.readFields("password", "address")
	if err != nil {
		return err
	}
	if _, ok := fields["password"]; !ok {
		return badRequest("The field password is missing.")
	}
	guess, err := rs.guess(fields, "password")
	if err != nil {
		return err
	}
	return p.call(rs, access.Verify, http.StatusNoContent, func(ctx context.Context) error {
		return p.store.Verify(ctx, caller, user, guess)
	})
}

// passwordForm is one form of PUT.
type passwordForm struct {
	fields  string // the required fields, sorted; address may be there in addition if the form has a guess
	creates bool   // with If-None-Match: *
	guess   string // the field with the guess; empty: none
	action  access.Action
	status  int
	call    func(p *passwordResource, ctx context.Context, caller access.Caller, user access.Key, g passwords.Guess, fields map[string]passwords.Secret) error
}

// passwordForms are all forms of PUT.
var passwordForms = []passwordForm{
	{"current password", false, "current", access.Change, http.StatusNoContent,
		func(p *passwordResource, ctx context.Context, caller access.Caller, user access.Key, g passwords.Guess, fields map[string]passwords.Secret) error {
			return p.store.Change(ctx, caller, user, g, fields["password"])
		}},
	{"password token", false, "token", access.Change, http.StatusNoContent,
		func(p *passwordResource, ctx context.Context, caller access.Caller, user access.Key, g passwords.Guess, fields map[string]passwords.Secret) error {
			return p.store.ChangeWithToken(ctx, caller, user, g, fields["password"])
		}},
	{"password", true, "", access.Create, http.StatusCreated,
		func(p *passwordResource, ctx context.Context, caller access.Caller, user access.Key, _ passwords.Guess, fields map[string]passwords.Secret) error {
			return p.store.Create(ctx, caller, user, fields["password"])
		}},
	{"hash", false, "", access.Import, http.StatusNoContent,
		func(p *passwordResource, ctx context.Context, caller access.Caller, user access.Key, _ passwords.Guess, fields map[string]passwords.Secret) error {
			return p.store.Import(ctx, caller, user, fields["hash"])
		}},
}

// errPasswordForm lists the forms of PUT.
var errPasswordForm = badRequest("Send password and current, or password and token, or password alone with the header If-None-Match: *, or hash alone. " +
	"address may be added to the first two.")

// form returns the form of a PUT with these fields. It fails closed.
func form(header http.Header, fields map[string]passwords.Secret) (passwordForm, error) {
	_, hasAddress := fields["address"]
	names := ""
	for _, name := range []string{"current", "hash", "password", "token"} {
		if _, ok := fields[name]; ok {
			names += " " + name
		}
	}
	none, conditional := header["If-None-Match"]
	creates := len(none) == 1 && none[0] == "*"
	for _, f := range passwordForms {
		if names == " "+f.fields && creates == f.creates && conditional == f.creates && (f.guess != "" || !hasAddress) {
			return f, nil
		}
	}
	return passwordForm{}, errPasswordForm
}

// put changes a password, creates a user or imports a hash. Which grant it needs depends on the body.
func (p *passwordResource) put(rs *requestState) error {
	user, err := p.enter(rs)
	if err != nil {
		rs.traceAccess(access.Passwords, access.Change, err)
		return err
	}
	fields, err := rs.readFields("password", "current", "token", "hash", "address")
	if err != nil {
		return err
	}
	f, err := form(rs.r.Header, fields)
	if err != nil {
		return err
	}
	caller, err := p.authorize(rs, f.action, user)
	if err != nil {
		return err
	}
	guess, err := rs.guess(fields, f.guess)
	if err != nil {
		return err
	}
	return p.call(rs, f.action, f.status, func(ctx context.Context) error { return f.call(p, ctx, caller, user, guess, fields) })
}

// guess returns the guess in a field. Without the field address, the address is the one that the request comes from.
func (rs *requestState) guess(fields map[string]passwords.Secret, name string) (passwords.Guess, error) {
	g := passwords.Guess{Secret: fields[name], Address: remoteAddr(rs.r)}
	if text, ok := fields["address"]; ok {
		var err error
		if g.Address, err = netip.ParseAddr(string(text)); err != nil {
			return passwords.Guess{}, badRequest("The field address is not an IP address.")
		}
	}
	return g, nil
}

// newResetToken answers 201 with a reset token.
func (p *passwordResource) newResetToken(rs *requestState) error {
	caller, user, err := p.admit(rs, access.Reset)
	if err != nil {
		return err
	}
	if err := rs.requireNoBody(); err != nil {
		return err
	}
	var token passwords.Secret
	var ttl time.Duration
	ctx, cancel := rs.storeContext(rs.r.Context(), access.Passwords, access.Reset)
	defer cancel()
	token, ttl, err = p.store.NewResetToken(ctx, caller, user)
	rs.endStoreSpan(err)
	if err != nil {
		return passwordError(err)
	}
	body, err := json.Marshal(map[string]any{"token": string(token), "ttl": int64(ttl / time.Second)})
	if err != nil {
		return err
	}
	h := rs.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	rs.respond(http.StatusCreated)
	_, err = rs.w.Write(body)
	return err
}

// delete deletes a user. It continues after its client has left.
func (p *passwordResource) delete(rs *requestState) error {
	caller, user, err := p.admit(rs, access.Delete)
	if err != nil {
		return err
	}
	if err := rs.requireNoBody(); err != nil {
		return err
	}
	ctx, cancel := rs.storeContext(context.WithoutCancel(rs.r.Context()), access.Passwords, access.Delete)
	defer cancel()
	err = p.store.Delete(ctx, caller, user)
	rs.endStoreSpan(err)
	if err != nil {
		return passwordError(err)
	}
	rs.respond(http.StatusNoContent)
	return nil
}

// call calls the store and answers with a status without a body.
func (p *passwordResource) call(rs *requestState, action access.Action, status int, do func(context.Context) error) error {
	ctx, cancel := rs.storeContext(rs.r.Context(), access.Passwords, action)
	defer cancel()
	err := do(ctx)
	rs.endStoreSpan(err)
	if err != nil {
		return passwordError(err)
	}
	rs.respond(status)
	return nil
}

// errUnreadableUser is the problem of a user whose row cannot be opened. It does not say that there is a row.
var errUnreadableUser = &problemError{problem{Type: problemBase + "unavailable", Title: "Store unavailable", Status: http.StatusServiceUnavailable,
	Detail: "The service cannot do this now. Its log has details under this instance.", retryAfter: 5}}

// passwordError returns err together with the problem that tells the client the time or the rule in it, or hides that there
// is a row.
func passwordError(err error) error {
	if errors.Is(err, store.ErrSealed) {
		return fmt.Errorf("%w: %w", err, errUnreadableUser)
	}
	if e, ok := errors.AsType[*passwords.GuessError](err); ok {
		return fmt.Errorf("%w: %w", err, guessesError(int(max(1, math.Ceil(e.RetryAfter.Seconds())))))
	}
	if e, ok := errors.AsType[*passwords.WeakError](err); ok {
		return fmt.Errorf("%w: %w", err, newProblem(http.StatusUnprocessableEntity, "weak-password", "Weak password", "The new password is too weak: "+e.Rule+"."))
	}
	return err
}

// guessesError returns the refusal of a guess, with the time until the next one is allowed.
func guessesError(retryAfter int) *problemError {
	return &problemError{problem{Type: problemBase + "too-many-guesses", Title: "Too many wrong passwords", Status: http.StatusTooManyRequests,
		Detail: "There were too many wrong passwords. Wait before the next one. The password was not compared.", retryAfter: retryAfter}}
}
