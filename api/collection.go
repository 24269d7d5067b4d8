package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// collection serves a Collection.
type collection struct {
	Collection
	grants map[access.Action]access.Grant
}

func newCollection(config Collection) *collection {
	c := &collection{Collection: config, grants: make(map[access.Action]access.Grant)}
	for _, action := range []access.Action{access.Get, access.Set, access.Touch, access.Delete} {
		c.grants[action] = access.GrantOn(c.Name, action)
	}
	return c
}

// authorize authenticates the client, applies its limits, decodes the key, and checks that the client may do action with
// the key. Every handler of a collection calls it before anything else. It fails closed: without an error, the Caller is
// good for this action and key, and for no other.
func (c *collection) authorize(rs *requestState, action access.Action) (access.Caller, access.Key, error) {
	caller, key, err := c.decide(rs, action)
	rs.traceAccess(c.Name, action, err)
	return caller, key, err
}

// decide is authorize without the span of the decision. It fails closed.
func (c *collection) decide(rs *requestState, action access.Action) (access.Caller, access.Key, error) {
	rs.w.Header().Set("Cache-Control", "no-store")
	if err := rs.enter(c.Name); err != nil {
		return access.Caller{}, "", err
	}
	key, err := parseKey(rs.segment)
	if err != nil {
		return access.Caller{}, "", err
	}
	rs.key = key
	if action == access.Get || action == access.Touch { // only these reveal whether a key has a value
		if err := rs.limits.checkMisses(rs.start); err != nil {
			return access.Caller{}, "", err
		}
	}
	caller, err := access.Authorize(rs.identity, c.grants[action], key)
	if err != nil {
		return access.Caller{}, "", err
	}
	rs.authorized = true
	if action != access.Delete { // a logout must not wait
		if err := rs.limits.checkBytes(rs.start); err != nil {
			return access.Caller{}, "", withoutBody(err)
		}
	}
	return caller, key, nil
}

// get sends the value with status 200, or 404.
func (c *collection) get(rs *requestState) error {
	caller, key, err := c.authorize(rs, access.Get)
	if err != nil {
		return err
	}
	if err := rs.requireNoBody(); err != nil {
		return err
	}
	if err := rs.hold(GetCopies * rs.limits.expectGet()); err != nil {
		return err
	}
	ctx, cancel := rs.storeContext(rs.r.Context(), c.Name, access.Get)
	defer cancel()
	value, err := c.Store.Get(ctx, caller, key)
	rs.endStoreSpan(err)
	if err != nil {
		return rs.countIfMiss(err)
	}
	size := int64(len(value.Data))
	rs.limits.learnGet(size)
	// A client that reads slowly holds the value until the response is written.
	if err := rs.hold(GetCopies * size); err != nil {
		return err
	}
	rs.limits.countBytes(rs.start, size)
	h := rs.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(value.Data)))
	if value.TTL > 0 {
		h.Set(ttlHeader, strconv.FormatInt(int64(value.TTL/time.Second), 10))
	}
	rs.respond(http.StatusOK)
	_, err = rs.w.Write(value.Data)
	return err
}

// set stores the body as the value. The status is 204, or 201 for a POST, as Kask's clients expect.
func (c *collection) set(rs *requestState) error {
	caller, key, err := c.authorize(rs, access.Set)
	if err != nil {
		return err
	}
	ttl, present, err := parseTTL(rs.r.Header, c.MaxTTL)
	if err != nil {
		return err
	}
	if !present {
		ttl = c.DefaultTTL
	}
	data, err := rs.readBody(c.MaxValueBytes)
	if err != nil {
		return err
	}
	rs.limits.countBytes(rs.start, int64(len(data)))
	ctx, cancel := rs.storeContext(rs.r.Context(), c.Name, access.Set)
	defer cancel()
	err = c.Store.Set(ctx, caller, key, data, ttl)
	rs.endStoreSpan(err)
	if err != nil {
		return err
	}
	if rs.r.Method == http.MethodPost {
		rs.respond(http.StatusCreated)
	} else {
		rs.respond(http.StatusNoContent)
	}
	return nil
}

// touch gives the value a new TTL. The status is 204, or 404 if there is no value.
func (c *collection) touch(rs *requestState) error {
	caller, key, err := c.authorize(rs, access.Touch)
	if err != nil {
		return err
	}
	ttl, present, err := parseTTL(rs.r.Header, c.MaxTTL)
	if err != nil {
		return err
	}
	if !present {
		return badTTL(c.MaxTTL)
	}
	if err := rs.requireNoBody(); err != nil {
		return err
	}
	ctx, cancel := rs.storeContext(rs.r.Context(), c.Name, access.Touch)
	defer cancel()
	ctx = store.WithRewrite(ctx, func(size int) error {
		rs.limits.countBytes(rs.start, int64(size))
		return rs.hold(SetCopies * int64(size))
	})
	err = c.Store.Touch(ctx, caller, key, ttl)
	rs.endStoreSpan(err)
	if err != nil {
		return rs.countIfMiss(err)
	}
	rs.respond(http.StatusNoContent)
	return nil
}

// delete deletes the value. The status is 204, once a quorum of every datacentre has the delete. A delete continues after
// its client has left, because a user who logs out wants the session to be gone. It does not begin before there is room for
// its audit record.
func (c *collection) delete(rs *requestState) error {
	caller, key, err := c.authorize(rs, access.Delete)
	if err != nil {
		return err
	}
	if err := rs.reserveRecord(); err != nil {
		return err
	}
	if err := rs.requireNoBody(); err != nil {
		return err
	}
	ctx, cancel := rs.storeContext(context.WithoutCancel(rs.r.Context()), c.Name, access.Delete)
	defer cancel()
	err = c.Store.Delete(ctx, caller, key)
	rs.endStoreSpan(err)
	if err != nil {
		return err
	}
	rs.respond(http.StatusNoContent)
	return nil
}

// countIfMiss counts a miss if err is store.ErrNotFound, and returns err.
func (rs *requestState) countIfMiss(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		rs.limits.miss(rs.api.config.Now())
	}
	return err
}
