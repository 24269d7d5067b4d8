package main

import (
	"crypto/x509"
	"maps"
	"sync/atomic"
	"time"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
	"userinfo/internal/config"
	"userinfo/tlsconf"
)

// rules are who may do what, as it is in force. Its methods are safe for concurrent use.
type rules struct {
	policy    atomic.Pointer[access.Policy]
	signers   atomic.Pointer[signers]
	front     atomic.Pointer[front]
	forwarded atomic.Pointer[forwardedRules]
}

// forwardedRules are those made of a pool and a front.
type forwardedRules struct {
	*forwarded.Rules
	pool    *x509.CertPool
	dnField string
}

// set puts the rules of c in force, all or none. Keys come before the policy that needs them.
func (r *rules) set(c *config.Config, s signers, now func() time.Time) error {
	policy, err := c.Policy(now)
	if err != nil {
		return err
	}
	front, err := newFront(c.Proxies)
	if err != nil {
		return err
	}
	r.front.Store(front)
	r.signers.Store(&s)
	r.policy.Store(policy)
	return nil
}

// setSigners puts keys in force.
func (r *rules) setSigners(s signers) (changed bool) {
	same := func(a, b signature.Key) bool { return a.Equal(b) }
	if maps.EqualFunc(s, *r.signers.Load(), same) {
		return false
	}
	r.signers.Store(&s)
	return true
}

func (r *rules) proxies() *tlsconf.Proxies { return r.front.Load().proxies }

// forwardedNow returns the rules for the client CAs in pool. They are made anew if the client CAs have changed.
func (r *rules) forwardedNow(pool *x509.CertPool) *forwarded.Rules {
	field := r.front.Load().dnField
	if f := r.forwarded.Load(); f != nil && f.pool == pool && f.dnField == field {
		return f.Rules
	}
	made, err := forwarded.NewRules(pool, field)
	if err != nil { // the configuration was checked; these believe nobody
		made = new(forwarded.Rules)
	}
	r.forwarded.Store(&forwardedRules{made, pool, field})
	return made
}
