package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// Header values that are the same in every answer. They are shared and never changed.
var (
	noStore     = []string{"no-store"}
	octetStream = []string{"application/octet-stream"}
	noSniff     = []string{"nosniff"}
)

// authorize is the beginning of every operation on a key: who is it, which key, may it. Whoever has missed too often may
// not ask for what tells whether a key has a value.
func (x *exchange) authorize(c *Collection, action access.Action) (access.Caller, access.Key, error) {
	x.w.Header()["Cache-Control"] = noStore
	if err := x.enter(c.Name); err != nil {
		return access.Caller{}, "", err
	}
	key, err := parseKey(x.sentKey)
	if err != nil {
		return access.Caller{}, "", err
	}
	x.key = key
	if action == access.Get || action == access.Touch {
		if err := x.account.mayMiss(x.start); err != nil {
			return access.Caller{}, "", err
		}
	}
	caller, err := access.Authorize(x.identity, c.grant(action), key)
	x.allowed = err == nil
	return caller, key, err
}

// get answers 200 with the value, or 404.
func (c *Collection) get(x *exchange) error {
	caller, key, err := x.authorize(c, access.Get)
	if err != nil {
		return err
	}
	if err := x.noBody(); err != nil {
		return err
	}
	ctx, cancel := x.deadline(x.r.Context())
	defer cancel()
	value, err := c.Store.Get(ctx, caller, key)
	if err != nil {
		return x.missed(err)
	}
	h := x.w.Header()
	h["Content-Type"] = octetStream
	h["X-Content-Type-Options"] = noSniff
	n := numbers(int64(len(value.Data)), int64(value.TTL/time.Second))
	h["Content-Length"] = n[:1:1]
	if value.TTL > 0 {
		h[ttlHeader] = n[1:]
	}
	x.answer(http.StatusOK)
	_, err = x.w.Write(value.Data)
	return err
}

// numbers writes two, in two allocations.
func numbers(a, b int64) []string {
	var digits [40]byte
	text := strconv.AppendInt(digits[:0], a, 10)
	n := len(text)
	all := string(strconv.AppendInt(text, b, 10))
	return []string{all[:n], all[n:]}
}

// set answers 204, or 201 to a POST, as Kask does.
func (c *Collection) set(x *exchange) error {
	caller, key, err := x.authorize(c, access.Set)
	if err != nil {
		return err
	}
	ttl, present, err := parseTTL(x.r.Header, c.MaxTTL)
	if err != nil {
		return err
	}
	if !present {
		ttl = c.DefaultTTL
	}
	data, err := x.body(c.MaxValueBytes)
	if err != nil {
		return err
	}
	ctx, cancel := x.deadline(x.r.Context())
	defer cancel()
	if err := c.Store.Set(ctx, caller, key, data, ttl); err != nil {
		return err
	}
	if x.r.Method == http.MethodPost {
		x.answer(http.StatusCreated)
	} else {
		x.answer(http.StatusNoContent)
	}
	return nil
}

// touch answers 204, or 404.
func (c *Collection) touch(x *exchange) error {
	caller, key, err := x.authorize(c, access.Touch)
	if err != nil {
		return err
	}
	ttl, present, err := parseTTL(x.r.Header, c.MaxTTL)
	if err != nil {
		return err
	}
	if !present {
		return badTTL(c.MaxTTL)
	}
	if err := x.noBody(); err != nil {
		return err
	}
	ctx, cancel := x.deadline(x.r.Context())
	defer cancel()
	if err := c.Store.Touch(ctx, caller, key, ttl); err != nil {
		return x.missed(err)
	}
	x.answer(http.StatusNoContent)
	return nil
}

// delete answers 204 once every datacentre has it. It goes on when the client leaves: a logout that was asked for
// is wanted.
func (c *Collection) delete(x *exchange) error {
	caller, key, err := x.authorize(c, access.Delete)
	if err != nil {
		return err
	}
	if err := x.noBody(); err != nil {
		return err
	}
	ctx, cancel := x.deadline(context.WithoutCancel(x.r.Context()))
	defer cancel()
	if err := c.Store.Delete(ctx, caller, key); err != nil {
		return err
	}
	x.answer(http.StatusNoContent)
	return nil
}

// missed counts a miss where err is one.
func (x *exchange) missed(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		x.account.miss(x.api.config.Now())
	}
	return err
}

// body reads a value of at most limit bytes. What is known to be larger is not read at all.
func (x *exchange) body(limit int64) ([]byte, error) {
	length := x.r.ContentLength
	if length > limit {
		return nil, tooLarge(limit)
	}
	if length == 0 {
		return nil, errNoValue
	}
	data, err := readAll(http.MaxBytesReader(x.w, x.r.Body, limit), length)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlowBody
	case err != nil:
		return nil, errCutBody
	case len(data) == 0:
		return nil, errNoValue
	}
	return data, x.checkBody(data)
}

// trustedBytes is how much room a client is given for having announced a body. More comes as the bytes do.
const trustedBytes = 64 << 10

// readAll reads a body whose announced length is length, or -1. It is an error where it is shorter.
func readAll(body io.Reader, length int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(max(length, 0), trustedBytes)) + bytes.MinRead)
	_, err := b.ReadFrom(body)
	return b.Bytes(), err
}

// noBody refuses content where it has no meaning. A body of unknown length that turns out to be empty is none.
func (x *exchange) noBody() error {
	if x.r.ContentLength == 0 {
		return nil
	}
	if x.r.ContentLength < 0 {
		var one [1]byte
		n, err := io.ReadFull(x.r.Body, one[:])
		if n == 0 && errors.Is(err, io.EOF) {
			return x.checkBody(nil)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errSlowBody
		}
	}
	return badRequest("A " + x.r.Method + " has no body here. Send none.")
}
